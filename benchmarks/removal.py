"""What the hosts of a simulated cluster need to remove all that a job had made by its cancel: the
floor under taking it back.

Bare calls remove it from a copy of the cluster in which nothing is under way. But a clone or a
start that holds a slot at the cancel goes on until it ends, whoever cancels; what that adds to
the least the hosts can take follows from the same copy. Calls that merely wait for a slot are the
service's own doing and add nothing.
"""

from __future__ import annotations

import heapq
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from openrdms.adapters import simulator
from openrdms.adapters.simulator.uri import Settings
from openrdms.ports import Host


@dataclass(frozen=True)
class Removal:
    """``bare``: seconds of the bare calls; ``begun``: what calls that hold slots add at least."""

    bare: float
    begun: float


def measure(cluster: Path, parameters: str, settings: Settings, at: float) -> Removal:
    """Remove all from the copy in ``cluster``, which shows what there was ``at`` that time."""
    with closing(sqlite3.connect(cluster / "state.sqlite")) as truth, truth:
        loads = _read(truth, settings, at)
        truth.execute("DELETE FROM operations")
    begun = max(map(_least, loads)) - max(_least(load.without_begun()) for load in loads)
    return Removal(_remove_all(cluster, parameters), begun)


@dataclass(frozen=True)
class _Load:
    """Of one host: how many VMs run; of the calls that hold a slot when they end and whether a VM
    runs then. Seconds, ``destroy`` those of a destroy on one of the ``slots``.
    """

    slots: int
    destroy: float
    running: int
    ends: tuple[tuple[float, bool], ...]

    def without_begun(self) -> _Load:
        return _Load(self.slots, self.destroy, self.running, ())


def _read(truth: sqlite3.Connection, settings: Settings, at: float) -> list[_Load]:
    seconds = {"clone": settings.clone_ms / 1000, "start": settings.start_ms / 1000}
    loads = []
    for (host,) in truth.execute("SELECT name FROM hosts").fetchall():
        (running,) = truth.execute(
            "SELECT count(*) FROM vms WHERE host = ? AND started_at IS NOT NULL", (host,)
        ).fetchone()
        under_way = truth.execute("SELECT ends, kind FROM operations WHERE host = ?", (host,))
        ends = tuple(
            (ends - at, kind == "start")
            for ends, kind in under_way
            if at < ends <= at + seconds[kind]  # else it waits for a slot, or has just ended
        )
        loads.append(_Load(settings.slots, settings.destroy_ms / 1000, running, ends))
    return loads


def _least(load: _Load) -> float:
    """Seconds until a host has stopped all: first what runs already, on the slot free first."""
    free = [end for end, _ in load.ends] + [0.0] * (load.slots - len(load.ends))
    heapq.heapify(free)
    started = sorted(end for end, runs in load.ends if runs)
    for ready in (*[0.0] * load.running, *started):
        heapq.heappush(free, max(heapq.heappop(free), ready) + load.destroy)
    return max(free)


def _remove_all(cluster: Path, parameters: str) -> float:
    """Seconds that bare calls take, as many at a time as the service begins with."""
    hosts = simulator.connect(f"simulator://{cluster}?{parameters}")
    pools = [ThreadPoolExecutor(2 * host.slots) for host in hosts]
    begun = time.perf_counter()
    removals = [
        pool.submit(_remove, host, name)
        for host, pool in zip(hosts, pools, strict=True)
        for name in sorted({leftover.vm for leftover in host.list_leftovers()})
    ]
    for removal in removals:
        removal.result()
    seconds = time.perf_counter() - begun
    for host, pool in zip(hosts, pools, strict=True):
        pool.shutdown()
        host.close()
    return seconds


def _remove(host: Host, name: str) -> None:
    host.destroy(name)
    host.undefine(name)
    host.delete_disk(name, 1)
