"""What has changed lately, for views that are live.

Whatever is on record is told by the store after each commit (ports.RecordNotices); hosts tell of
their VMs, and services of what is on no record. Of a thing that changes often the last change is
kept: who asks for what came after a position gets each thing once.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress

from openrdms import ports
from openrdms.model.change import Change, Kind
from openrdms.model.host import VmEvent, VmEventKind
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts

KEPT = 10_000
"""Things that changed last; who was away while more did must begin anew."""

Wake = Callable[[], object]

_HIDDEN = frozenset(
    {
        Kind.CANCEL,
        Kind.ACCOUNT,
        Kind.MEMBER,
        Kind.LINE,
        Kind.POOL,
        Kind.QUESTION,
        Kind.ANSWER,
    }
)
"""What services tell each other, and no view shows; UserNews publishes lines, more rarely."""

_OF_SESSIONS = frozenset(
    {
        VmEventKind.LOGGED_ON,
        VmEventKind.LOGGED_OFF,
        VmEventKind.STOPPED,
        VmEventKind.AGENT_DISCONNECTED,
    }
)


class Changes:
    """Safe from any thread. A position is ``EPOCH-NUMBER``; each life of a service is an epoch."""

    def __init__(self) -> None:
        self._epoch = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._latest: OrderedDict[tuple[Kind, str], int] = OrderedDict()
        self._number = 0
        self._forgotten = 0
        self._waiting: set[Wake] = set()

    def follow(self, store: ports.Store, hosts: Hosts, health: HostHealth) -> None:
        """Publish what records, hosts and their health tell from now on."""
        store.subscribe(self._publish_shown)
        hosts.subscribe(self._hear)
        health.subscribe(lambda host, _: self.publish(Kind.HOST, [host]))

    def publish(self, kind: Kind, keys: Sequence[str]) -> None:
        """Things of one kind have changed just now."""
        with self._lock:
            for key in keys:
                self._number += 1
                self._latest[kind, key] = self._number
                self._latest.move_to_end((kind, key))
            while len(self._latest) > KEPT:
                self._forgotten = self._latest.popitem(last=False)[1]
            waiting, self._waiting = self._waiting, set()
        for wake in waiting:
            wake()

    def reset(self) -> None:
        """Some of what others changed may not have been heard: everybody must begin anew."""
        with self._lock:
            self._epoch = secrets.token_hex(4)
            waiting, self._waiting = self._waiting, set()
        for wake in waiting:
            wake()

    @property
    def position(self) -> str:
        """Where changes to come begin."""
        return f"{self._epoch}-{self._number}"

    def name(self, change: Change) -> str:
        """The position just behind a change."""
        return f"{self._epoch}-{change.number}"

    def since(self, position: str) -> list[Change] | None:
        """Each thing that changed after ``position``, in order of its last change.

        None when that is not known any more, or ``position`` is none of this life of the service.
        """
        epoch, _, digits = position.rpartition("-")
        if epoch != self._epoch or not digits.isdecimal():
            return None
        number = int(digits)
        with self._lock:
            if not self._forgotten <= number <= self._number:
                return None
            found = []
            for (kind, key), at in reversed(self._latest.items()):
                if at <= number:
                    break
                found.append(Change(at, kind, key))
        return found[::-1]

    def wake_once(self, position: str, wake: Wake) -> None:
        """Call it, from any thread, as soon as something comes after ``position``; be quick."""
        with self._lock:
            if position == self.position:
                self._waiting.add(wake)
                return
        wake()

    def let_sleep(self, wake: Wake) -> None:
        """Do not call it any more."""
        with self._lock, suppress(KeyError):
            self._waiting.remove(wake)

    def _publish_shown(self, kind: Kind, keys: Sequence[str]) -> None:
        if kind not in _HIDDEN:
            self.publish(kind, keys)

    def _hear(self, event: VmEvent) -> None:
        self.publish(Kind.DESKTOP, [event.vm])
        if event.kind in _OF_SESSIONS:
            self.publish(Kind.SESSION, [event.vm])
