"""Identity at first start: desktops that were defined and left off get theirs when they run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import Use
from openrdms.model.host import GuestIdentity, VmEvent, VmEventKind, VmState
from openrdms.services.hosts import Hosts

_GUEST_SECONDS = 120.0
"""What a guest has to take its identity: without KVM its key alone takes many."""

_WORKERS = 4

_log = structlog.get_logger(__name__)


class FirstStart:
    """Waits for guest agents to connect and gives each new desktop its own identity.

    A guest that does not take it is left for its next start, or until somebody connects. Callbacks
    of hosts only put a name into a queue; threads of our own talk to guests.
    """

    def __init__(self, store: ports.Store, hosts: Hosts) -> None:
        self._store = store
        self._hosts = hosts
        self._connected: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[None]] = {}

    def start(self) -> None:
        """Begin, with those that have been started while nobody listened."""
        self._unsubscribe = self._hosts.subscribe(self._notice)
        for number in range(_WORKERS):
            # Daemons: a guest that answers slowly must not hold up the end of the service.
            threading.Thread(target=self._work, name=f"first-start-{number}", daemon=True).start()
        for desktop in self._store.list_desktops(identity_set=False):
            self._connected.put(desktop.name)

    def close(self) -> None:
        self._unsubscribe()
        for _ in range(_WORKERS):
            self._connected.put(None)

    def _notice(self, event: VmEvent) -> None:
        if event.kind is VmEventKind.AGENT_CONNECTED:
            self._connected.put(event.vm)

    def _work(self) -> None:
        while (name := self._connected.get()) is not None:
            try:
                self.identify(name)
            except errors.RdmsError as error:
                _log.warning("identity not set", desktop=name, error=str(error))
            except Exception:  # noqa: BLE001  whatever it was, the others get theirs
                _log.exception("defect", desktop=name)

    def identify(self, name: str) -> None:
        """Give the desktop its identity if it runs and has none yet; returns when it has it.

        OperationFailed when its guest does not take it; HostUnavailable, RecordsUnavailable. Of
        several who ask at once one does it, and all have what comes of it.
        """
        key, mine = name.casefold(), Future[None]()
        with self._lock:
            first = self._under_way.setdefault(key, mine)
        if first is mine:
            failure: BaseException | None = None
            try:
                self._identify(name)
            except BaseException as error:  # noqa: BLE001  it is raised in all who wait
                failure = error
            with self._lock:  # before anybody is told: who asks again then has it tried again
                del self._under_way[key]
            mine.set_exception(failure)
        first.result()

    def _identify(self, name: str) -> None:
        desktop = self._find(name)
        if desktop is None:
            return
        host = self._hosts.get(desktop.host)
        identity = GuestIdentity(desktop.name, desktop.uuid.hex, desktop.mac)
        try:
            host.guest(desktop.name).set_identity(identity, _GUEST_SECONDS)
        except errors.VmNotRunning:
            return
        except (errors.OperationFailed, errors.SessionError) as error:
            words = f"{desktop.name} did not take its name and keys: {error}"
            raise errors.OperationFailed(words) from error
        if self._find(name):  # else it was stopped meanwhile, and its pool must not start it again
            self._store.change_desktop(desktop.name, _identified)
            _log.info("identity set", desktop=desktop.name, host=host.name)

    def _find(self, name: str) -> Desktop | None:
        """One that runs and has no identity yet, but for those that are being prepared or stopped:
        whoever prepares them does that too.
        """
        desktop = self._store.find_desktop(name)
        if desktop is None or desktop.identity_set:
            return None
        use = self._store.find_use(name)
        if use and use.use is Use.PREPARING:
            return None
        vm = self._hosts.get(desktop.host).find_vm(desktop.name)
        runs = vm is not None and vm.uuid == desktop.uuid and vm.state is VmState.RUNNING
        return desktop if runs else None


def _identified(present: Desktop | None) -> Desktop | None:
    return present and replace(present, identity_set=True)
