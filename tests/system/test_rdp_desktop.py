"""A desktop with a graphical screen: in a browser it takes the size of the window; an RDP file of
the web port, opened by xfreerdp, leads into the right user's session.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from conftest import ServiceFactory
from functional.test_cli import Rdms
from live.browser import WebClient, csrf_of
from live.chromium import Browse
from live.rollout import BOOT_S, begin_create, follow, list_sessions, remove_all
from live.service import Service, until
from live.xfreerdp import open_file, open_screen, wait_for_colour

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(1800)]

SECRET = "quite a long password"
GUEST_PASSWORD = "bob"
"""That of the image's demo account."""
WALLPAPER, NOTE = bytes.fromhex("204a87"), bytes.fromhex("900000")
"""Of the image's desktop, and of what dunst shows with the highest urgency."""
MIDDLE, TOP = (512, 600), (300, 60)
GREETER_FILLS_THE_WINDOW = """() => {
  const canvas = document.querySelector("#screen canvas");
  const {width, height} = document.getElementById("screen").getBoundingClientRect();
  if (canvas?.width !== width || canvas.height !== Math.floor(height)) return false;
  const middle = canvas.getContext("2d").getImageData(width / 2, canvas.height / 2, 1, 1).data;
  return middle[0] > 200;
}"""
"""Its dialog is light, in the middle of what X takes for the screen; all else is dark."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    """One desktop of the desktop variant, on which nobody is logged on."""
    service = running_service(tmp_path_factory.mktemp("rdp-desktop") / "state")
    rdms = Rdms(service)
    rdms.read("image", "build", "desktop", "--variant", "desktop", "--no-autologin")
    password = service.state_dir.parent / "users-password"
    password.write_text(f"{SECRET}\n")
    for name in ("alice", "bob"):
        who = ("user", "add", name, "--role", "user", "--group", "Staff")
        rdms.read(*who, "--password-file", str(password))
    wire = service.wire()
    guid = begin_create(wire, "rdp", 1, base="image:desktop")
    assert follow(wire, guid, BOOT_S).state == "JOB_COMPLETED"
    rdms.read("collection", "set", "rdp", "--user-group", "Staff", "--no-rollback")
    return service


@pytest.fixture
def page(service: Service, browse: Browse) -> Page:
    """Bob's desktop in his browser; nobody is logged on."""
    rdms = Rdms(service)
    desktop = rdms.read("desktop", "connect", "rdp", "bob", "--wait", str(BOOT_S))["VMName"]
    small = {"width": 1000, "height": 700}
    page = browse(service, f"/display/{desktop}", "bob", SECRET, viewport=small)
    expect(page.locator("#state")).to_have_text("Connected", timeout=BOOT_S * 1000)
    return page


def test_the_screen_takes_the_size_of_the_window(page: Page, tmp_path: Path) -> None:
    page.wait_for_function(GREETER_FILLS_THE_WINDOW, timeout=BOOT_S * 1000)
    page.set_viewport_size({"width": 1233, "height": 811})
    page.wait_for_function(GREETER_FILLS_THE_WINDOW, timeout=BOOT_S * 1000)
    page.screenshot(path=tmp_path / "greeter.png")


@pytest.fixture
def file(service: Service, tmp_path: Path) -> Path:
    """Bob's, who has waited in the portal until his desktop was ready."""
    with WebClient(service) as client:
        client.sign_in("bob", SECRET)
        client.headers["x-csrf-token"] = csrf_of(client.get("/").text)

        def connect() -> httpx.Response | None:
            reply = client.post("/api/v1/me/connections", json={"collection": "rdp"})
            assert reply.status_code in (200, 202), reply.text
            return reply if reply.status_code == 200 else None

        opened = until("his desktop is ready", connect, BOOT_S, pause=2)
        reply = client.get(opened.json()["rdp"]["href"])
    assert reply.status_code == 200, reply.text
    file = tmp_path / "desktop.rdp"
    file.write_bytes(reply.content)
    return file


def test_the_file_leads_into_bobs_session(service: Service, file: Path, tmp_path: Path) -> None:
    wire = service.wire()
    assert list_sessions(wire, "rdp") == []
    with (
        open_screen(tmp_path / "screen") as screen,
        open_file(file, GUEST_PASSWORD, screen) as client,
    ):
        wait_for_colour(screen, WALLPAPER, MIDDLE, BOOT_S)
        # A guest gets two seconds to answer, and this one is busy.
        [session] = until("it is listed", lambda: list_sessions(wire, "rdp"), BOOT_S, pause=1)
        assert (session["VMName"], session["UserName"]) == ("rdp-1", "bob")
        rdms = Rdms(service)
        what = ("session", "message", session["VMHostName"], session["SessionId"])
        rdms.read(*what, "Please save your work", "--title", "Maintenance")
        wait_for_colour(screen, NOTE, TOP, BOOT_S)
        (tmp_path / "session.png").write_bytes(screen.picture())
        rdms.read("session", "logoff", session["VMHostName"], session["SessionId"])
        assert client.wait(BOOT_S) is not None
    until("his session is gone", lambda: list_sessions(wire, "rdp") == [], BOOT_S, pause=1)
    remove_all(wire, "rdp", BOOT_S)
    assert service.find_orphans() == []
