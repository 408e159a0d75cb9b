"""Pages in Debian's Chromium (fixture ``browse``), by Playwright's sync API. A pytest plugin.

The service's certificate is trusted by its public key alone, so TLS is checked as users have it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, sync_playwright

from live.service import PASSWORD, USER, Service

SECONDS = 60
"""What a page gets for anything, on a machine that has other work."""

_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

SHOWS_SOMETHING = """() => {
  const canvas = document.querySelector("#screen canvas");
  if (!canvas?.width) return false;
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size > 1;
}"""
"""For ``wait_for_function``: a desktop's page has its first frame."""

Browse = Callable[..., Page]
_FAILED = pytest.StashKey[bool]()


class Chromium:
    """A browser for each service, started when somebody first looks at that one."""

    def __init__(self, playwright: Playwright, exits: ExitStack) -> None:
        self._playwright = playwright
        self._exits = exits
        self._browsers: dict[Path, Browser] = {}

    def of(self, service: Service) -> Browser:
        """The browser that trusts this service's certificate and no other unknown one."""
        directory = service.state_dir
        if directory not in self._browsers:
            trusted = _hash_public_key(directory / "tls" / "certificate.pem")
            browser = self._playwright.chromium.launch(
                executable_path="/usr/bin/chromium",
                args=[*_ARGUMENTS, f"--ignore-certificate-errors-spki-list={trusted}"],
            )
            self._browsers[directory] = self._exits.enter_context(browser)
        return self._browsers[directory]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """The browsers of a module."""
    with ExitStack() as exits:
        yield Chromium(exits.enter_context(sync_playwright()), exits)


@pytest.fixture
def browse(
    chromium: Chromium, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browse]:
    """``browse(service, path="/", user=USER, password=PASSWORD, **context)`` gives a page.

    Each has a browser context of its own; ``user=None`` signs nobody in; ``context`` is what
    Playwright's ``new_context`` takes (viewport, locale, color_scheme, permissions...). A test
    fails too when a script of a page does, or breaks the content security policy. What pages
    show when a test fails is kept as pictures.
    """
    wrong: list[str] = []
    failed: list[str] = []
    pages: list[Page] = []
    with ExitStack() as contexts:

        def browse(
            service: Service,
            path: str = "/",
            user: str | None = USER,
            password: str = PASSWORD,
            **context: Any,
        ) -> Page:
            options = {"locale": "en-US", **context}
            made = chromium.of(service).new_context(base_url=service.ready["web"], **options)
            contexts.enter_context(made).set_default_timeout(SECONDS * 1000)
            page = made.new_page()
            pages.append(page)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda message: wrong.extend(_broken_policy(message)))
            page.on("requestfailed", lambda asked: failed.append(f"{asked.url}: {asked.failure}"))
            page.goto(path)
            if user is not None:
                sign_in(page, user, password)
            return page

        yield browse
        if wrong or request.node.stash.get(_FAILED, False):
            print("Requests that failed:", *failed, sep="\n")
            directory = tmp_path_factory.getbasetemp() / "pictures"
            for number, page in enumerate(pages):
                _keep(page, directory / f"{request.node.name}-{number}.png")
        assert wrong == []


def sign_in(page: Page, user: str, password: str) -> None:
    """By the form that is shown, on to where the visitor wanted to go."""
    page.locator("input[name=name]").fill(user)
    page.locator("input[name=password]").fill(password)
    page.locator("input[name=password]").press("Enter")
    page.wait_for_url(lambda url: "/sign-in" not in url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Iterator[Any]:  # a generator, as pluggy has wrappers
    """Let ``browse`` know that the test has failed."""
    report = yield
    if report.failed:  # a fixture that opens a page, too
        item.stash[_FAILED] = True
    return report


def _keep(page: Page, file: Path) -> None:
    if not page.is_closed():
        file.parent.mkdir(exist_ok=True)
        page.screenshot(path=file)
        print(f"{page.url} is shown in {file}")


def _broken_policy(message: ConsoleMessage) -> list[str]:
    return [message.text] if "Content Security Policy" in message.text else []


def _hash_public_key(certificate: Path) -> str:
    """SHA-256 of its SubjectPublicKeyInfo, as Chromium takes it."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(encoded).digest()).decode()
