"""In browsers, on real virtual machines: a user types in his desktop, an administrator makes and
cancels, and writes to the user.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from conftest import ServiceFactory
from functional.test_cli import Rdms
from live.chromium import SECONDS, Browse
from live.inside import look_inside
from live.rollout import BOOT_S, begin_create, follow
from live.service import rdms as run
from live.service import until

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(900)]

SECRET = "quite a long password"
FETCH = """async (image) => {
  const reply = await fetch(image.src);
  return [...new Uint8Array(await reply.arrayBuffer())];
}"""
WORDS = "typed in a browser & shown on the desktop"


@pytest.fixture(scope="module")
def rdms(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Rdms:
    """One pooled desktop, whose guest asks who logs on, and a user."""
    place = tmp_path_factory.mktemp("display")
    state_dir = place / "state"
    options = ("--variant", "tiny", "--no-autologin", "--state-dir", state_dir)
    run("image", "build", "tiny", *options)
    rdms = Rdms(running_service(state_dir))
    password = place / "users-password"
    password.write_text(f"{SECRET}\n")
    rdms.read("user", "add", "alice", "--role", "user", "--password-file", str(password))
    wire = rdms.service.wire()
    assert follow(wire, begin_create(wire, "real", 1), BOOT_S).state == "JOB_COMPLETED"
    assert rdms.run("collection", "set", "real", "--user-group", "Everyone").exit_code == 0
    return rdms


def read_picture(picture: Path) -> str:
    """What can be read in it."""
    command = ["tesseract", str(picture), "-", "--psm", "6"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_for(page: Page, picture: Path, *words: str) -> str:
    """Until one of them is on the screen that the page shows; which one."""

    def find() -> str | None:
        page.locator("#screen").screenshot(path=picture)
        text = read_picture(picture)
        return next((each for each in words if each in text), None)

    return until(f"one of {words} is shown", find, 120) or ""


@pytest.fixture(scope="module")
def desktop(rdms: Rdms) -> str:
    """The one that alice has."""
    given: str = rdms.read("desktop", "connect", "real", "alice", "--wait", str(BOOT_S))["VMName"]
    return given


@pytest.fixture
def page(rdms: Rdms, browse: Browse, desktop: str, tmp_path: Path) -> Page:
    """It in her browser; she is logged on."""
    large = {"width": 1480, "height": 900}
    page = browse(rdms.service, f"/display/{desktop}", "alice", SECRET, viewport=large)
    expect(page.locator("#state")).to_have_text("Connected", timeout=SECONDS * 1000)
    if wait_for(page, tmp_path / "screen.png", "$", "login") == "login":
        page.keyboard.type("alice\n")
        wait_for(page, tmp_path / "screen.png", "Password")
        page.keyboard.type("alice\n")
        wait_for(page, tmp_path / "screen.png", "$")
    return page


def test_what_is_typed_in_the_browser_is_on_the_guests_screen(
    rdms: Rdms, page: Page, desktop: str, tmp_path: Path
) -> None:
    page.get_by_role("button", name="Text").click()
    page.get_by_label("Text for the desktop").fill(f"clear; echo '{WORDS}'\n")
    page.get_by_role("button", name="Type", exact=True).click()
    wait_for(page, tmp_path / "screen.png", "shown on the desktop")
    rdms.service.stop()
    assert WORDS in look_inside(rdms.service.state_dir)[desktop].screen.splitlines()[0]
    rdms.service.start()


def test_an_administrators_message_is_on_the_guests_screen(
    rdms: Rdms, page: Page, browse: Browse, desktop: str, tmp_path: Path
) -> None:
    console = browse(rdms.service, "/console/sessions")
    chosen = console.get_by_label(f"Choose alice · {desktop}")
    while not chosen.count():  # a guest that is slow to answer is not waited for
        console.reload()
    chosen.check()
    console.get_by_role("button", name="Message").click()
    console.get_by_label("Title").fill("Maintenance")
    console.get_by_label("Text").fill("Please save your work and log off at eight.")
    console.get_by_role("button", name="Send").click()
    results = console.locator("#results li .lamp[data-tone=good]")
    expect(results).to_have_count(1, timeout=SECONDS * 1000)
    console.goto(f"/console/desktops/{desktop}")
    picture = tmp_path / "screenshot.png"
    picture.write_bytes(bytes(console.locator("#screen img").evaluate(FETCH)))
    text = read_picture(picture)
    assert "Maintenance" in text
    assert "save your work" in text
    wait_for(page, tmp_path / "screen.png", "save your work")


def test_an_administrator_makes_a_collection_and_cancels(rdms: Rdms, browse: Browse) -> None:
    page = browse(rdms.service, "/console/collections/new")
    page.get_by_label("As users see it.").fill("Second")
    forward = page.get_by_role("button", name="Next")
    forward.click()
    page.get_by_label("Names begin with").fill("second-")
    page.get_by_label("How many").fill("1")
    forward.click()
    expect(page.locator("[data-plan-shown]")).to_contain_text("1 desktop")
    page.get_by_role("button", name="Create the collection").click()
    page.wait_for_url("**/console/jobs/*")
    expect(page.locator("#desktops")).to_contain_text("started", timeout=BOOT_S * 1000)
    assert len(rdms.service.find_qemus()) == 2
    page.get_by_role("button", name="Cancel the job").click()
    page.locator("#ask").get_by_role("button", name="Cancel the job").click()
    ended = page.locator("#job .lamp").first
    expect(ended).to_have_text("Cancelled", timeout=BOOT_S * 1000)
    assert len(rdms.service.find_qemus()) == 1
    page.goto("/console/desktops")
    expect(page.locator("#desktops")).not_to_contain_text("second-1")
    assert rdms.service.find_orphans() == []
