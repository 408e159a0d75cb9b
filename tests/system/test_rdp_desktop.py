"""An RDP file of the web port, opened by xfreerdp, leads into the right user's session."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from conftest import ServiceFactory
from functional.test_cli import Rdms
from live.browser import WebClient, csrf_of
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
