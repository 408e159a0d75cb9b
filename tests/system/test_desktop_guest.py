"""The desktop variant: a message is on its user's graphical screen, and what else sessions do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from contract.host_suite import EventLog, make_spec, make_vm
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.adapters.libvirt.agent import LibvirtAgent
from openrdms.adapters.libvirt.guest_exec import Deadline, GuestCommands
from openrdms.adapters.libvirt.host import LibvirtHost, connect
from openrdms.model.errors import SessionGone
from openrdms.model.host import GuestIdentity, GuestSession
from openrdms.runtime_dir import make_runtime_dir

pytestmark = [pytest.mark.libvirt, pytest.mark.slow, pytest.mark.timeout(1200)]

NAME = "desk"
CALL_S = 60.0
BOOT_S = 400
ACTIVE, DISCONNECTED = 0, 4
WINDOW = "xwininfo -display :0 -name Dunst -stats"
DRAW_S = 120
"""A notification is accepted before it is drawn; emulated, that may take a while."""


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desktop")


@pytest.fixture(scope="module")
def host(state_dir: Path) -> Iterator[LibvirtHost]:
    host = connect("qemu:///embed?name=desktop", state_dir, make_runtime_dir(state_dir))
    yield host
    host.destroy(NAME)
    host.close()


@pytest.fixture(scope="module")
def session(host: LibvirtHost, tmp_path_factory: pytest.TempPathFactory) -> GuestSession:
    """Alice's, on a desktop that has booted and taken its identity."""
    image_dir = tmp_path_factory.mktemp("image")
    image = DebianImageTools().build("desktop", image_dir, lambda _fraction, _words: None)
    spec = make_spec(replace(image, name="desktop", version=1), NAME)
    log = EventLog()
    host.subscribe(log)
    make_vm(host, spec)
    log.boot(host, NAME, BOOT_S)
    guest = host.guest(NAME)
    guest.set_identity(GuestIdentity("desk-1", spec.uuid.hex, spec.mac), CALL_S)
    deadline = time.monotonic() + BOOT_S
    while not (found := [s for s in guest.list_sessions(CALL_S) if s.state == ACTIVE]):
        assert time.monotonic() < deadline, "alice was not logged on"
        time.sleep(1)
    return found[0]


@pytest.fixture(scope="module")
def commands(session: GuestSession, state_dir: Path) -> Iterator[GuestCommands]:
    """Commands in the guest, past the port."""
    link = libvirt.open(f"qemu:///embed?root={make_runtime_dir(state_dir)}/libvirt")
    yield GuestCommands(LibvirtAgent(NAME, link.lookupByName, threading.Lock()))
    link.close()


def test_message_is_on_the_users_screen(
    host: LibvirtHost, session: GuestSession, commands: GuestCommands, tmp_path: Path
) -> None:
    before = host.screenshot(NAME)
    text = "Please save your work & log off <now>."
    host.guest(NAME).send_message(session, "Maintenance", text, CALL_S)
    argv = ["runuser", "-l", session.user, "-c", WINDOW]
    drawn = Deadline(DRAW_S)
    while "IsViewable" not in commands.run(argv, drawn).text:
        drawn.pause(1)
    (tmp_path / "message.png").write_bytes(host.screenshot(NAME))
    assert (tmp_path / "message.png").read_bytes() != before


def test_what_is_put_on_the_clipboard_can_be_pasted(
    host: LibvirtHost, session: GuestSession, commands: GuestCommands
) -> None:
    guest = host.guest(NAME)
    assert guest.read_clipboard(session, CALL_S) == ""
    text = "Grüße, 你好; $(reboot)\n'second' line"
    guest.write_clipboard(session, text, CALL_S)
    argv = ["runuser", "-l", session.user, "-c", "DISPLAY=:0 xclip -selection clipboard -out"]
    assert commands.run(argv, Deadline(CALL_S)).text == text
    assert guest.read_clipboard(session, CALL_S) == text


@pytest.mark.usefixtures("session")
def test_applications_of_its_packages_are_listed(host: LibvirtHost) -> None:
    found = {one.name: one for one in host.guest(NAME).list_applications(CALL_S)}
    assert (found["XTerm"].path, found["XTerm"].arguments) == ("/usr/bin/xterm", "")
    assert "Openbox" not in found, "a window manager is no application of a menu"


def test_tls_key_is_the_clones_own(commands: GuestCommands) -> None:
    argv = ["openssl", "x509", "-noout", "-subject", "-in", "/etc/ssl/certs/ssl-cert-snakeoil.pem"]
    assert "CN = desk-1" in commands.run(argv, Deadline(CALL_S)).check("read").text
    listening = commands.run(["ss", "-Htln", "sport = :3389"], Deadline(CALL_S))
    assert "3389" in listening.text


def test_disconnected_console_is_left_to_the_greeter(
    host: LibvirtHost, session: GuestSession
) -> None:
    guest = host.guest(NAME)
    for _ in range(2):
        guest.disconnect(session, CALL_S)
        (found,) = guest.list_sessions(CALL_S)
        assert (found.key, found.state) == (session.key, DISCONNECTED)


def test_logged_off_session_is_gone(host: LibvirtHost, session: GuestSession) -> None:
    guest = host.guest(NAME)
    guest.log_off(session, CALL_S)
    assert guest.list_sessions(CALL_S) == []
    with pytest.raises(SessionGone):
        guest.send_message(session, "", "too late", CALL_S)
