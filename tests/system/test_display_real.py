"""A user signs in with a browser and types in a desktop that is a real virtual machine."""

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


def read_screen(page: Page, picture: Path) -> str:
    """What can be read on the screen that the page shows."""
    page.locator("#screen").screenshot(path=picture)
    command = ["tesseract", str(picture), "-", "--psm", "6"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_what_is_typed_in_the_browser_is_on_the_guests_screen(
    rdms: Rdms, browse: Browse, tmp_path: Path
) -> None:
    given = rdms.read("desktop", "connect", "real", "alice", "--wait", str(BOOT_S))
    page = browse(
        rdms.service,
        f"/display/{given['VMName']}",
        "alice",
        SECRET,
        viewport={"width": 1480, "height": 900},
    )
    expect(page.locator("#state")).to_have_text("Connected", timeout=SECONDS * 1000)

    def wait_for(words: str) -> None:
        until(
            f"{words!r} is shown", lambda: words in read_screen(page, tmp_path / "screen.png"), 120
        )

    wait_for("login")
    page.keyboard.type("alice\n")
    wait_for("Password")
    page.keyboard.type("alice\n")
    wait_for("$")
    page.get_by_role("button", name="Text").click()
    page.get_by_label("Text for the desktop").fill(f"clear; echo '{WORDS}'\n")
    page.get_by_role("button", name="Type", exact=True).click()
    wait_for("shown on the desktop")
    rdms.service.stop()
    assert WORDS in look_inside(rdms.service.state_dir)[given["VMName"]].screen.splitlines()[0]
