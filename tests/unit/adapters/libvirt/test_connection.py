"""A connection that breaks is opened again, against libvirt's own test driver."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import libvirt
import pytest

from openrdms.adapters.libvirt import connection, sharing
from openrdms.adapters.libvirt.uri import HostUri
from openrdms.model.errors import HostUnavailable, InvalidParameter
from openrdms.model.host import VmEvent, VmEventKind

URI = "test:///default"


class Wire:
    """A connection of the test driver, which never breaks by itself."""

    def __init__(self, real: libvirt.virConnect) -> None:
        self._real = real
        self.alive = True

    def isAlive(self) -> bool:  # noqa: N802 - libvirt's name
        return self.alive

    def getURI(self) -> str:  # noqa: N802 - libvirt's name
        return "qemu:///system"

    def registerCloseCallback(  # noqa: N802 - libvirt's name
        self, callback: Callable[..., None], opaque: object
    ) -> None:
        self.tell_close = lambda: callback(self, libvirt.VIR_CONNECT_CLOSE_REASON_EOF, opaque)

    def unregisterCloseCallback(self) -> None:  # noqa: N802 - libvirt's name
        raise libvirt.libvirtError("it has been told")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Wire]:
    """Every connection that was opened."""
    wires: list[Wire] = []
    really_open = libvirt.open

    def open_wire(uri: str) -> Wire:
        wires.append(Wire(really_open(uri)))
        return wires[-1]

    monkeypatch.setattr(libvirt, "open", open_wire)
    return wires


def test_broken_connection_is_opened_again_once(opened: list[Wire]) -> None:
    link = connection.Link(URI)
    opened[0].alive = False
    callers = [threading.Thread(target=link.get) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(opened) == 2
    assert link.get().lookupByName("test").isActive()


def test_connection_that_was_lost_is_opened_again_whatever_it_says(opened: list[Wire]) -> None:
    link = connection.Link(URI)
    assert link.get() is opened[0]
    opened[0].tell_close()
    assert link.get() is opened[1]
    link.close()


def test_callers_do_not_wait_long_for_one_that_opens(
    opened: list[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = connection.Link(URI)
    opened[0].alive = False
    hanging, go_on = threading.Event(), threading.Event()

    def hang(uri: str) -> Wire:
        hanging.set()
        assert go_on.wait(60)
        raise libvirt.libvirtError("no route to host")

    monkeypatch.setattr(libvirt, "open", hang)

    def try_to_open() -> None:
        with suppress(HostUnavailable):
            link.get()

    first = threading.Thread(target=try_to_open)
    first.start()
    assert hanging.wait(30)
    begun = time.monotonic()
    with pytest.raises(HostUnavailable):
        link.get()
    assert time.monotonic() - begun < 20
    go_on.set()
    first.join()


def test_subscribers_stay_when_the_connection_changes(opened: list[Wire]) -> None:
    link = connection.Link(URI)
    heard: list[VmEvent] = []
    stopped = threading.Event()

    def listen(event: VmEvent) -> None:
        heard.append(event)
        if event.kind is VmEventKind.STOPPED:
            stopped.set()

    end = link.watch("host1").subscribe(listen)
    opened[0].alive = False
    domain = link.get().lookupByName("test")
    domain.destroy()
    try:
        assert stopped.wait(30)
        assert heard[-1] == VmEvent(VmEventKind.STOPPED, "host1", "test")
    finally:
        domain.create()
        end()


def test_host_is_unavailable_while_it_cannot_be_opened(
    opened: list[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = connection.Link(URI)
    opened[0].alive = False

    def refuse(uri: str) -> Wire:
        raise libvirt.libvirtError("connection refused")

    with monkeypatch.context() as down:
        down.setattr(libvirt, "open", refuse)
        with pytest.raises(HostUnavailable, match="refused"):
            link.get()
    assert link.get().isAlive()


def test_closed_link_stays_closed(opened: list[Wire]) -> None:
    link = connection.Link(URI)
    link.close()
    opened[0].alive = False
    with pytest.raises(HostUnavailable, match="not connected"):
        link.get()
    assert len(opened) == 1


def test_wrong_uri_of_a_host_that_may_come_later_is_told_at_once(opened: list[Wire]) -> None:
    def refuse(_: libvirt.virConnect) -> None:
        time.sleep(1.5)
        raise InvalidParameter("hypervisor", "another directory")

    with pytest.raises(InvalidParameter, match="another directory"):
        connection.Link(URI, refuse, later=True)
    assert len(opened) == 1


def test_share_that_cannot_be_written_makes_a_host_unavailable(
    opened: list[Wire], tmp_path: Path
) -> None:
    (tmp_path / "share").touch()
    uri = HostUri(URI, None, name="host1", shared=tmp_path / "share")
    with pytest.raises(HostUnavailable, match="share"):
        connection.Link(URI, partial(sharing.accept, uri))
    link = connection.Link(URI, partial(sharing.accept, uri), later=True)
    with pytest.raises(HostUnavailable, match="share"):
        link.get()
