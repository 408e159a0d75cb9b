"""What hosts tell of starting guests, so that nobody has to ask them again and again."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from openrdms.model.host import VmEvent, VmEventKind
from openrdms.services.host_health import Absence, HostHealth
from openrdms.services.hosts import Hosts

_Vm = tuple[str, str]
"""Host and VM name, case folded."""

_NEWS = {VmEventKind.AGENT_CONNECTED, VmEventKind.STOPPED}


class AgentEvents:
    """Remembers which VMs were last heard to start, and wakes who waits for their agents.

    So it does for all guests of a host that is back.
    """

    def __init__(self, hosts: Hosts, health: HostHealth) -> None:
        self._hosts = hosts
        self._health = health
        self._lock = threading.Lock()
        self._starting: set[_Vm] = set()
        self._watched: Counter[str] = Counter()
        self._waiting: dict[_Vm, list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    def listen(self) -> None:
        """Begin to hear all hosts."""
        self._hosts.subscribe(self._hear)
        self._health.subscribe(self._note_host)

    def _hear(self, event: VmEvent) -> None:
        key = self._key(event.host, event.vm)
        starts = event.kind is VmEventKind.STARTED
        with self._lock:
            (self._starting.add if starts else self._starting.discard)(key)
            waiting = list(self._waiting.get(key, ()))
        if event.kind in _NEWS:
            for loop, heard in waiting:
                loop.call_soon_threadsafe(heard.set)

    def _note_host(self, host: str, absence: Absence | None) -> None:
        """What its agents said while it was away nobody heard: each may have come."""
        if absence is not None:
            return
        with self._lock:
            here = {key for key in self._waiting if key[0] == host.casefold()}
            self._starting = {key for key in self._starting if key[0] != host.casefold()}
            waiting = [entry for key in here for entry in self._waiting.get(key, ())]
        for loop, heard in waiting:
            loop.call_soon_threadsafe(heard.set)

    def _key(self, host: str, vm: str) -> _Vm:
        """Records may have a host's short name."""
        known = self._hosts.find(host)
        return (known.name if known else host).casefold(), vm.casefold()

    def count_watched(self, host: str) -> int:
        """How many guests of that host are waited for now."""
        return self._watched[self._key(host, "")[0]]

    @contextmanager
    def watch(self, host: str, vm: str) -> Iterator[asyncio.Event]:
        """An event that is set when the agent connects, or the guest stops.

        It is set from the beginning unless this process saw the VM start and has not heard its
        agent since: after a restart of the service the agent may long be there.
        """
        key = self._key(host, vm)
        heard = asyncio.Event()
        entry = (asyncio.get_running_loop(), heard)
        with self._lock:
            self._waiting.setdefault(key, []).append(entry)
            self._watched[key[0]] += 1
            if key not in self._starting:
                heard.set()
        try:
            yield heard
        finally:
            with self._lock:
                self._watched[key[0]] -= 1
                self._waiting[key].remove(entry)
                if not self._waiting[key]:
                    del self._waiting[key]
