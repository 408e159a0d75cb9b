"""Callers of the simulator that die at a chosen moment, and a clock that never waits."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from itertools import count
from pathlib import Path

from openrdms.adapters.simulator.clock import Callers, Clock
from openrdms.adapters.simulator.cluster import Cluster
from openrdms.adapters.simulator.host import SimulatorHost
from openrdms.adapters.simulator.uri import parse
from openrdms.model.host import VmSpec


class CallerKilled(BaseException):
    """Ends a caller where kill -9 would; no product code catches it."""


class StandingClock:
    """Time that passes only by sleeping, and for everybody at once."""

    def __init__(self, now: float = 1000.0) -> None:
        self._now = now
        self._lock = threading.Lock()

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += seconds

    def clock(self) -> Clock:
        return Clock(self.now, self.sleep)


class Lives:
    """Callers that are alive until told otherwise; each may be killed in its n-th sleep."""

    def __init__(self, time: StandingClock) -> None:
        self._time = time
        self._numbers = count(1)
        self._dead: set[str] = set()

    def connect(self, uri: str, dies_in_sleep: int = 0) -> SimulatorHost:
        """The first host, as a new process sees it; 0 for one that lives on."""
        # No process has such a pid, so to other processes these callers are dead at once.
        name = f"{10**9 + next(self._numbers)}@0@test"
        sleeps = count(1)

        def sleep(seconds: float) -> None:
            if next(sleeps) == dies_in_sleep:
                self._dead.add(name)
                raise CallerKilled(name)
            self._time.sleep(seconds)

        callers = Callers(name, lambda other: other not in self._dead)
        cluster = Cluster(parse(uri), Clock(self._time.now, sleep), callers)
        return SimulatorHost(cluster, cluster.host_names[0])


def leave_half_made_disk(path: Path, spec: VmSpec) -> None:
    """Kill callers in the middle of create_disk until one leaves a half-made disk on host1."""
    lives = Lives(StandingClock())
    uri = f"simulator://{path}"
    while how_made(path, spec) != "half":
        survivor = lives.connect(uri)
        survivor.delete_disk(spec.name, spec.generation)
        with contextlib.suppress(CallerKilled):
            lives.connect(uri, dies_in_sleep=1).create_disk(spec)
        assert survivor.find_vm(spec.name) is None


def how_made(path: Path, spec: VmSpec) -> str:
    """How far the disk came, by the simulator's own record: no, half or whole."""
    with contextlib.closing(sqlite3.connect(path / "state.sqlite")) as db:
        query = "SELECT partial FROM disks WHERE vm = ? AND generation = ?"
        found = db.execute(query, (spec.name, spec.generation)).fetchone()
    return "no" if found is None else ("whole", "half")[found[0]]
