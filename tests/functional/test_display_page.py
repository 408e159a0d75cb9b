"""The desktop in the browser: signed in, opened, typed in; and what its page does besides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from functional.test_cli import Rdms
from functional.test_display import log_on
from live.axe import check_access
from live.chromium import SECONDS, SHOWS_SOMETHING, Browse
from live.free_ports import free_port
from live.service import Service, until
from openrdms.adapters import simulator

ServiceFactory = Callable[..., Service]

TIMES = "clone_ms=20&start_ms=20&boot_ms=100&agent_ms=10&destroy_ms=10&users=0"
SECRET = "quite a long password"


@pytest.fixture(scope="module")
def rdms(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Rdms:
    """A pool, a user and a help desk."""
    place = tmp_path_factory.mktemp("display")
    port = str(free_port())  # the same after a restart
    cluster = f"simulator://{place}/cluster?hosts=1&{TIMES}"
    rdms = Rdms(running_service(place / "state", cluster, options=("--web-port", port)))
    password = place / "users-password"
    password.write_text(f"{SECRET}\n")
    for name, role in (("ann", "user"), ("hal", "helpdesk")):
        rdms.read("user", "add", name, "--role", role, "--password-file", str(password))
    rdms.read(
        *("collection", "create", "Pool", "--alias", "pool", "--prefix", "d-"),
        *("--image", "image:tiny", "--host", "host1=3", "--wait"),
    )
    assert rdms.run("collection", "set", "pool", "--user-group", "Everyone").exit_code == 0
    return rdms


@pytest.fixture
def desktop(rdms: Rdms) -> Iterator[str]:
    """The one that ann has."""
    given: str = rdms.read("desktop", "connect", "pool", "ann", "--wait", "60")["VMName"]
    yield given
    rdms.run("pool", "release", given, "--force")


@pytest.fixture
def page(rdms: Rdms, browse: Browse, desktop: str) -> Page:
    """Her desktop in her browser, connected."""
    page = browse(rdms.service, f"/display/{desktop}", "ann", SECRET)
    expect_connected(page)
    return page


def expect_connected(page: Page) -> None:
    expect(page.locator("#state")).to_have_text("Connected", timeout=SECONDS * 1000)
    page.wait_for_function(SHOWS_SOMETHING)


def screen_shows(rdms: Rdms, desktop: str, text: str) -> None:
    """Wait until that is typed, as the simulator has it."""
    until(f"{text!r} is typed", lambda: text in rdms.truth()[desktop]["typed"])


def test_what_is_typed_is_on_the_desktops_screen(rdms: Rdms, page: Page, desktop: str) -> None:
    page.keyboard.type("Hello, world")
    page.keyboard.press("Enter")
    page.keyboard.type("second")
    screen_shows(rdms, desktop, "Hello, world\nsecond")
    assert page.url.endswith(f"/display/{desktop}")


def test_buttons(rdms: Rdms, page: Page, desktop: str) -> None:
    page.get_by_role("button", name="Ctrl-Alt-Del").click()
    screen_shows(rdms, desktop, "[Ctrl-Alt-Del]")
    page.get_by_role("button", name="Full screen").click()
    page.wait_for_function("document.fullscreenElement !== null")
    page.wait_for_function("document.activeElement.closest('#screen')")  # a frame later
    page.keyboard.type("big")
    screen_shows(rdms, desktop, "big")
    fit = page.get_by_role("button", name="Fit to window")
    page.mouse.move(10, 2)
    fit.click()
    expect(fit).to_have_attribute("aria-pressed", "false")
    assert page.locator("#screen canvas").bounding_box()["width"] == 720


def test_text_is_typed(rdms: Rdms, page: Page, desktop: str) -> None:
    page.get_by_role("button", name="Text").click()
    page.get_by_label("Text for the desktop").fill("One & two\n3")
    page.get_by_role("button", name="Type").click()
    screen_shows(rdms, desktop, "One & two\n3")
    page.keyboard.press("Enter")
    page.keyboard.type("copied")
    screen_shows(rdms, desktop, "copied")


def test_its_clipboard(rdms: Rdms, page: Page, desktop: str) -> None:
    page.get_by_role("button", name="Text").click()
    page.get_by_role("button", name="To its clipboard").click()
    expect(page.get_by_role("alert")).to_contain_text("nobody is logged on")
    simulator.log_on(rdms.cluster, "host1", desktop, "ann")
    page.get_by_label("Text for the desktop").fill("copied\nthere and back")
    page.get_by_role("button", name="To its clipboard").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Text").click()
    page.get_by_label("Text for the desktop").fill("")
    check_access(page)
    page.get_by_role("button", name="From its clipboard").click()
    expect(page.get_by_label("Text for the desktop")).to_have_value("copied\nthere and back")
    simulator.log_off(rdms.cluster, "host1", desktop, "ann")


def test_the_keyboard_leads_out_of_the_screen(page: Page) -> None:
    page.keyboard.press("Control+Alt+Shift")
    expect(page.locator(".tools button:focus")).to_have_text("Ctrl-Alt-Del")
    page.keyboard.press("Tab")
    expect(page.locator(".tools button:focus")).to_have_text("Text")


def test_it_comes_back_by_itself(rdms: Rdms, page: Page, desktop: str) -> None:
    with page.expect_websocket():  # what it said before may be shown until that is there
        rdms.service.restart()
    expect_connected(page)
    page.keyboard.type("again")
    screen_shows(rdms, desktop, "again")


def test_it_comes_back_where_a_part_of_it_failed_to_load(
    rdms: Rdms, browse: Browse, desktop: str
) -> None:
    page = browse(rdms.service, "/", "ann", SECRET)
    page.goto("about:blank")  # the portal has all of it brought ahead
    refusals = iter(["connectionreset", "failed"])

    def drop(route: Route) -> None:
        """Twice: the page's reload meets it too."""
        error = next(refusals, None)
        route.abort(error) if error else route.continue_()

    page.route("**/core/websock.js", drop)
    page.goto(f"/display/{desktop}")
    expect(page.get_by_role("alert")).to_contain_text("The connection was lost")
    expect_connected(page)
    assert next(refusals, None) is None
    assert page.evaluate("performance.getEntriesByType('navigation')[0].type") == "reload"


def test_it_says_when_the_session_has_ended(rdms: Rdms, page: Page, desktop: str) -> None:
    assert rdms.run("pool", "release", desktop, "--force").exit_code == 0
    expect(page.get_by_role("alert")).to_contain_text("has ended")
    expect(page.locator("#state")).to_have_text("Ended")
    check_access(page)


def test_who_helps_sees_and_does_not_type(
    rdms: Rdms, browse: Browse, page: Page, desktop: str
) -> None:
    log_on(rdms, desktop)
    helper = browse(rdms.service, f"/display/{desktop}?mode=view", "hal", SECRET)
    expect_connected(helper)
    expect(helper.get_by_text("looking at another user's screen")).to_be_visible()
    check_access(helper)
    helper.locator("#screen canvas").click()
    helper.keyboard.type("hidden")
    page.keyboard.type("seen")
    screen_shows(rdms, desktop, "seen")
    assert "hidden" not in rdms.truth()[desktop]["typed"]
    simulator.log_off(rdms.cluster, "host1", desktop, "ann")
    expect(helper.get_by_role("alert")).to_contain_text("has ended")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(rdms: Rdms, browse: Browse, desktop: str, scheme: str, tmp_path: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 760}, "has_touch": True, "is_mobile": True}
    page = browse(rdms.service, f"/display/{desktop}", "ann", SECRET, color_scheme=scheme, **phone)
    expect_connected(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Keyboard").click()
    page.keyboard.insert_text("thumbs")
    screen_shows(rdms, desktop, "thumbs")
    page.screenshot(path=tmp_path / f"phone-{scheme}.png")
    check_access(page)
