"""Opening a libvirt host, and the one thread in which its events arrive."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

import libvirt

from openrdms.adapters.libvirt import errors
from openrdms.model.host import VmEvent, VmEventKind

_KEEPALIVE_SECONDS = 5
_KEEPALIVE_TRIES = 3

_LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: VmEventKind.STARTED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: VmEventKind.STOPPED,
}
_AGENT = {
    libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED: VmEventKind.AGENT_CONNECTED,
    libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED: (
        VmEventKind.AGENT_DISCONNECTED
    ),
}


def open_connection(uri: str) -> libvirt.virConnect:
    """Connect to that libvirt URI, of which our parameters were taken out. HostUnavailable."""
    _run_event_loop()
    with errors.translated_open(uri):
        connection = libvirt.open(uri)
        if not connection.getURI().startswith("qemu:///embed"):
            connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_TRIES)
        return connection


def subscribe(
    connection: libvirt.virConnect, host: str, callback: Callable[[VmEvent], None]
) -> Callable[[], None]:
    """Pass events on to ``callback``, in the event loop's thread; returns how to end it."""

    def on_event(kinds: dict[int, VmEventKind], vm: libvirt.virDomain, event: int) -> None:
        if event in kinds:
            callback(VmEvent(kinds[event], host, vm.name()))

    def on_lifecycle(
        _: libvirt.virConnect, vm: libvirt.virDomain, event: int, _detail: int, _opaque: object
    ) -> None:
        on_event(_LIFECYCLE, vm, event)

    def on_agent(
        _: libvirt.virConnect, vm: libvirt.virDomain, event: int, _reason: int, _opaque: object
    ) -> None:
        on_event(_AGENT, vm, event)

    with errors.translated(host):
        registrations = [
            connection.domainEventRegisterAny(None, event, function, None)
            for event, function in (
                (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle),
                (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, on_agent),
            )
        ]

    def end() -> None:
        with errors.translated(host):
            while registrations:
                connection.domainEventDeregisterAny(registrations.pop())

    return end


@functools.cache
def _run_event_loop() -> None:
    """libvirt has one event loop in a process; it must exist before the first connection."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints them all
    libvirt.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, name="libvirt-events", daemon=True).start()
