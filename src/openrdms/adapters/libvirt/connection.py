"""Opening a libvirt host, and the one thread in which its events arrive."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

import libvirt

from openrdms.adapters.libvirt import errors, far
from openrdms.model.errors import HostUnavailable, InvalidParameter
from openrdms.model.host import VmEvent, VmEventKind

_log = logging.getLogger(__name__)

_WITHOUT_WIRE = ("qemu:///embed", "test:///")
_PATIENCE_SECONDS = 1
"""How long a call waits for the connection to be opened again: a daemon that was restarted is
there by then.
"""
_FIRST_SECONDS = 5
"""The same for the first: it takes some calls, and may tell that the URI is wrong."""

_GIVEN_UP_SECONDS = 15
"""After which one more attempt begins beside one that hangs."""

_LIFECYCLE = {
    libvirt.VIR_DOMAIN_EVENT_STARTED: VmEventKind.STARTED,
    libvirt.VIR_DOMAIN_EVENT_STOPPED: VmEventKind.STOPPED,
}
_NEW = {libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_STARTED}
_MOVED = {
    (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED),
    (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED),
}
"""It runs on at another host: nothing that happened to the VM."""

_DIED = {
    (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED),
    (libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED),
}
"""STOPPED_FAILED is libvirt's word for a QEMU that ended without a word."""

_AGENT = {
    libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED: VmEventKind.AGENT_CONNECTED,
    libvirt.VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED: (
        VmEventKind.AGENT_DISCONNECTED
    ),
}


def open_connection(uri: str) -> libvirt.virConnect:
    """Connect to that libvirt URI, of which our parameters were taken out. HostUnavailable.

    Without libvirt's keep-alive, by which libvirt 9.0 kills this process when it finds a daemon
    silent while two calls wait for it.
    """
    _run_event_loop()
    place = far.find_place(uri)
    if place:
        far.knock(place)
    with errors.translated_open(uri):
        connection = libvirt.open(far.bound_ssh(uri))
        if place:
            far.bound_silence(place)
        return connection


def _has_wire(connection: libvirt.virConnect) -> bool:
    """Whether the driver is in another process, which may go away."""
    return not connection.getURI().startswith(_WITHOUT_WIRE)


class Link:
    """The connection to one host, opened again when it has broken (its daemon was restarted).

    ``accept`` looks at each before it is used, and refuses it with InvalidParameter. ``later``: a
    host that is away now may come; else HostUnavailable.
    """

    def __init__(
        self,
        uri: str,
        accept: Callable[[libvirt.virConnect], None] = lambda _: None,
        *,
        later: bool = False,
    ) -> None:
        self._uri = uri
        self._accept = accept
        self._is_wired = True
        self._lost: libvirt.virConnect | None = None
        self._connection: libvirt.virConnect | None = None
        self._events: Events | None = None
        self._opening = threading.Lock()
        self._attempt: _Attempt | None = None
        self._closed = False
        if later:
            with suppress(HostUnavailable):
                self._wait_until_open(_FIRST_SECONDS)
        else:
            self._connection = self._open()

    def get(self) -> libvirt.virConnect:
        """A connection that is alive as far as is known. HostUnavailable."""
        if not self._is_alive():
            try:
                self._wait_until_open()
            except InvalidParameter as error:  # it was another machine's that we began with
                raise HostUnavailable(str(error)) from error
        if self._connection is None:
            raise HostUnavailable(f"{self._uri} is not connected")
        return self._connection

    def watch(self, host: str) -> Events:
        """The events of this host, whichever connection they come by."""
        with self._opening:  # one that is opened just now must not be missed
            self._events = Events(host)
            if self._connection:
                self._events.attach(self._connection)
            return self._events

    def find_domain(self, name: str) -> libvirt.virDomain | None:
        """The domain of that name, as written or else ignoring case: Windows names have none."""
        with errors.translated(name):
            domain = _look_up(self.get(), name)
            known = self._events.known_as(name) if self._events and not domain else None
            return _look_up(self.get(), known) if known else domain

    def close(self) -> None:
        """Close it for good."""
        self._closed = True
        if self._connection is None:
            return
        if self._is_wired:
            with suppress(libvirt.libvirtError):  # it has told that it is lost
                self._connection.unregisterCloseCallback()
        self._connection.close()

    def _open(self) -> libvirt.virConnect:
        connection = open_connection(self._uri)
        try:
            with errors.translated_open(self._uri):
                self._accept(connection)
        except BaseException:
            connection.close()
            raise
        self._is_wired = _has_wire(connection)
        if self._is_wired:
            connection.registerCloseCallback(self._on_close, None)
        return connection

    def _on_close(self, connection: libvirt.virConnect, reason: int, _: object) -> None:
        """Told by libvirt when the daemon closes it or answers no more (virConnectCloseReason)."""
        self._lost = connection
        _log.warning("lost %s (libvirt's reason %d)", self._uri, reason)

    def _is_alive(self) -> bool:
        if self._connection is None or self._connection is self._lost:
            return False
        if not self._is_wired:  # as every call asks
            return not self._closed
        with suppress(libvirt.libvirtError):
            return bool(self._connection.isAlive())
        return False

    def _wait_until_open(self, seconds: float = _PATIENCE_SECONDS) -> None:
        """A moment: opening may take long, and whoever calls soon hears that the host is away."""
        if self._closed or not self._opening.acquire(timeout=_PATIENCE_SECONDS):
            raise HostUnavailable(f"{self._uri} is not connected")
        try:
            if self._is_alive():
                return
            if self._attempt is None or not self._attempt.is_under_way():
                self._attempt = _Attempt(self._open, self._take)
            attempt = self._attempt
        finally:
            self._opening.release()
        attempt.wait(seconds)

    def _take(self, connection: libvirt.virConnect) -> None:
        """A connection that was opened, unless another was before."""
        with self._opening:
            if self._closed or self._is_alive():
                connection.close()
                return
            if self._events:
                self._events.attach(connection)
            self._connection = connection
        _log.warning("connected to %s", self._uri)


class _Attempt:
    """Opens a connection in a thread of its own: libvirt may wait for an answer for minutes."""

    def __init__(
        self,
        open_it: Callable[[], libvirt.virConnect],
        take: Callable[[libvirt.virConnect], None],
    ) -> None:
        self._begun = time.monotonic()
        self._outcome: Future[None] = Future()
        threading.Thread(
            target=self._run, args=(open_it, take), name="open-host", daemon=True
        ).start()

    def is_under_way(self) -> bool:
        """Whether it may still come to something."""
        hangs = time.monotonic() - self._begun > _GIVEN_UP_SECONDS
        return not self._outcome.done() and not hangs

    def wait(self, seconds: float) -> None:
        """Until it is open. HostUnavailable says why it is not, or not yet."""
        try:
            self._outcome.result(seconds)
        except TimeoutError:
            raise HostUnavailable("the host is not connected yet") from None

    def _run(
        self,
        open_it: Callable[[], libvirt.virConnect],
        take: Callable[[libvirt.virConnect], None],
    ) -> None:
        try:
            take(open_it())
        except Exception as error:  # noqa: BLE001  who waits for it gets it
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(None)


def _look_up(connection: libvirt.virConnect, name: str) -> libvirt.virDomain | None:
    try:
        return connection.lookupByName(name)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return None


class Events:
    """Passes the events of one connection on to subscribers, in the event loop's thread.

    libvirt takes one callback a kind of event from a connection, hence the list here. It looks
    domains up by their exact name only, hence the names: to list them all for each that is not
    there would make a thousand new desktops a million steps.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._subscribers: dict[object, Callable[[VmEvent], None]] = {}
        self._names: dict[str, str] = {}
        self._connection: libvirt.virConnect | None = None
        self._registrations: list[int] = []

    def attach(self, connection: libvirt.virConnect) -> None:
        """Take the events of that connection from now on; subscribers stay."""
        self._connection = connection
        with errors.translated(self._host):
            self._registrations = [
                connection.domainEventRegisterAny(None, event, function, None)
                for event, function in (
                    (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle),
                    (libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, self._on_agent),
                )
            ]
            names = (domain.name() for domain in connection.listAllDomains())
            self._names = {name.casefold(): name for name in names}

    def known_as(self, name: str) -> str | None:
        """The name of a domain whose name differs in case alone."""
        return self._names.get(name.casefold())

    def note_defined(self, name: str) -> None:
        """It was just defined here: whoever asks next need not wait for libvirt's own event."""
        self._names[name.casefold()] = name

    def close(self) -> None:
        """Take no more events; a connection that has registrations stays open."""
        with errors.translated(self._host):
            while self._connection and self._registrations:
                self._connection.domainEventDeregisterAny(self._registrations.pop())

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Callable[[], None]:
        """Call ``callback`` on every event; returns how to end it, which may be called twice."""
        subscription = object()
        self._subscribers[subscription] = callback

        def end() -> None:
            self._subscribers.pop(subscription, None)

        return end

    def _on_lifecycle(
        self, _: object, vm: libvirt.virDomain, event: int, detail: int, _opaque: object
    ) -> None:
        if (event, detail) in _DIED:
            _log.warning("the QEMU of %s has died", vm.name())
        if event in _NEW:
            self.note_defined(vm.name())
        elif event == libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
            self._names.pop(vm.name().casefold(), None)
        if (event, detail) not in _MOVED:
            self._pass_on(_LIFECYCLE.get(event), vm.name())

    def _on_agent(self, _: object, vm: libvirt.virDomain, state: int, *_detail: object) -> None:
        self._pass_on(_AGENT.get(state), vm.name())

    def _pass_on(self, kind: VmEventKind | None, vm: str) -> None:
        if kind is None:
            return
        for callback in list(self._subscribers.values()):
            try:
                callback(VmEvent(kind, self._host, vm))
            except Exception:  # noqa: BLE001 - a subscriber's fault may not reach the others
                _log.exception("subscriber failed", extra={"vm": vm, "event": kind})


@functools.cache
def _run_event_loop() -> None:
    """libvirt has one event loop in a process; it must exist before the first connection."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints them all
    libvirt.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, name="libvirt-events", daemon=True).start()
