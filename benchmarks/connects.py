"""Pooled desktops handed out, used, reset and handed out again.

usage: python -m benchmarks.connects [--seconds S] [--rate N] [--desktops N]
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from benchmarks.people import Findings, People
from openrdms.app.core import Core, now, open_core
from openrdms.app.databases import find_databases
from openrdms.app.running import SWITCH_SECONDS
from openrdms.model.account import Role
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import Use
from openrdms.model.host import DiskKind, Ownership, VmSpec
from openrdms.ports import Host
from openrdms.services.brokering import Brokering, Connection, Parts, User
from openrdms.services.first_start import FirstStart
from openrdms.services.pools import Pools
from openrdms.services.preparation import Preparation
from openrdms.services.session_watch import SessionWatch

STAY_SECONDS = 5.0
P99_MS = 50.0
RESET = "clone_ms=60&start_ms=100&boot_ms=250&agent_ms=15&destroy_ms=20"
"""With the four calls of the agent that a preparation takes, about half a second."""

HOSTS = 10
CLUSTER = f"hosts={HOSTS}&slots=4&users=0"
BOOT_SECONDS = 60.0
CALLERS = 64
_SYNC_PAUSE = 0.02
"""Seconds."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=100, help="connects a second")
    parser.add_argument("--desktops", type=int, default=2000)
    given = parser.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        path = Path(directory)
        with _open(path, given.desktops) as (core, brokering):
            people = People(path / "simulator", STAY_SECONDS)
            gc.freeze()  # as the service does when it has started
            storm = Storm(brokering, people, _user(core, brokering), given.rate)
            storm.run(given.seconds, path / "synced")
            found = people.end()
            _print(storm, found, core)


@dataclass
class Storm:
    """``waits`` in seconds from when a connect was due to when its desktop was there; ``spent``
    is processor time of the service while that went on.
    """

    brokering: Brokering
    people: People
    user: User
    rate: float
    calls: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    waited: int = 0
    spent: float = 0.0
    syncs: list[float] = field(default_factory=list)
    """What the disk took, meanwhile, for what every connect waits for once; with the wait for the
    interpreter after it.
    """

    def run(self, seconds: float, beside: Path) -> None:
        begin, spent = time.perf_counter() + 1, time.process_time()
        with self._syncing(beside), ThreadPoolExecutor(CALLERS) as callers:
            results = [
                callers.submit(self._connect, number, begin + number / self.rate)
                for number in range(int(seconds * self.rate))
            ]
        for result in results:
            result.result()
        self.spent = time.process_time() - spent

    @contextmanager
    def _syncing(self, file: Path) -> Iterator[None]:
        ended = threading.Event()

        def sync() -> None:
            with file.open("wb", buffering=0) as disk:
                while not ended.wait(_SYNC_PAUSE):
                    disk.write(bytes(4096))
                    begin = time.perf_counter()
                    os.fdatasync(disk.fileno())
                    self.syncs.append(time.perf_counter() - begin)

        thread = threading.Thread(target=sync)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _connect(self, number: int, due: float) -> None:
        time.sleep(max(0.0, due - time.perf_counter()))
        user = replace(self.user, name=f"user{number}")
        begin = time.perf_counter()
        answer = self.brokering.connect(user, "pool")
        self.calls.append(time.perf_counter() - begin)
        if not isinstance(answer, Connection):
            self.waited += 1
            answer = self.brokering.connect(user, "pool", 60)
        assert isinstance(answer, Connection), answer
        self.waits.append(time.perf_counter() - due)
        self.people.send(answer.host, answer.desktop, user.name)


@contextmanager
def _open(path: Path, count: int) -> Iterator[tuple[Core, Brokering]]:
    """The parts of a service over desktops that run and are READY."""
    _fill(path, count)
    with _open_core(path, RESET) as core:
        preparation = Preparation(
            core.store, core.hosts, core.images, core.uses, core.tokens, BOOT_SECONDS
        )
        basics = (core.store, core.hosts, core.health, core.uses)
        pools = Pools(*basics, preparation, now)
        watch = SessionWatch(*basics, now)
        core.health.start()
        watch.start()
        pools.start()
        parts = Parts(
            store=core.store,
            hosts=core.hosts,
            uses=core.uses,
            access=core.access,
            health=core.health,
            tokens=core.tokens,
            watch=watch,
            pools=pools,
            clock=now,
            identify=FirstStart(core.store, core.hosts).identify,
        )
        while not watch.is_checked("pool"):
            time.sleep(0.1)
        yield core, Brokering(parts)
        pools.close()
        watch.close()


def _open_core(path: Path, latencies: str) -> AbstractContextManager[Core]:
    state = path / "state"
    databases = find_databases(state, None, None, None)
    return open_core(state, (f"simulator://{path}/simulator?{CLUSTER}&{latencies}",), databases)


def _fill(path: Path, count: int) -> None:
    (path / "state").mkdir()
    quick = "clone_ms=0&start_ms=0&boot_ms=0&agent_ms=0&destroy_ms=0"
    with _open_core(path, quick) as core:
        core.store.create_collection(
            Collection("pool", "Pool", CollectionType.POOLED, is_managed=True)
        )
        hosts = core.hosts.all()
        desktops = [_make(hosts[number % HOSTS], f"vd-{number}") for number in range(count)]
        core.store.put_desktops(desktops)
        for desktop in desktops:
            mark = core.hosts.get(desktop.host).guest(desktop.name).logon_mark(5)
            core.uses.move([desktop.name], Use.READY, of=[Use.UNREADY], mark=mark)


def _make(host: Host, name: str) -> Desktop:
    (image,) = host.images()
    uuid, mac = uuid4(), "52:54:00:00:00:01"
    ownership = Ownership("pool", "", image.reference)
    spec = VmSpec(name, uuid, mac, image, DiskKind.LINKED, 1, ownership)
    host.create_disk(spec)
    host.define(spec)
    host.start(name)
    return Desktop(
        *(name, host.name, uuid, mac, "pool", "pool", image.reference, DiskKind.LINKED),
        *(1, DesktopStatus.SUCCESS),
    )


def _user(core: Core, brokering: Brokering) -> User:
    core.accounts.add("user", Role.USER, groups=["Staff"])
    descriptor = core.access.make_descriptor(["Staff"])
    core.store.change_collection("pool", lambda one: replace(one, security_descriptor=descriptor))
    return brokering.find_user("user", "CORP")


def _print(storm: Storm, found: Findings, core: Core) -> None:
    calls = sorted(storm.calls)
    p99 = _p99_ms(calls)
    p99_sync = _p99_ms(storm.syncs)
    counts = core.store.count_uses("pool").items()
    print(
        f"{len(calls)} connects at {storm.rate:g}/s: median {1000 * statistics.median(calls):.1f} "
        f"ms, p99 {p99:.1f} ms, worst {1000 * calls[-1]:.1f} ms; {storm.waited} had to wait\n"
        f"processor time {1000 * storm.spent / len(calls):.1f} ms for each, with its reset\n"
        f"p99 from when it was due until the desktop was there: {_p99_ms(storm.waits):.1f} ms\n"
        f"fdatasync of 4 KiB beside it: p99 {p99_sync:.1f} ms, worst "
        f"{1000 * max(storm.syncs):.1f} ms; p99 of connect is {p99 / p99_sync:.1f} x that\n"
        f"people: {found.came} came, to {len(found.disks)} fresh disks; "
        f"at the end: {', '.join(f'{use} {number}' for use, number in counts)}"
    )
    print(*found.wrong[:10], sep="\n", end="\n" if found.wrong else "")
    print(f"p99 of connect at most {P99_MS:g} ms: {_verdict(p99 <= P99_MS)}")
    sound = not found.wrong and found.came == len(found.disks) == len(calls)
    print(f"never two users on one desktop, none used before: {_verdict(sound)}")


def _p99_ms(seconds: list[float]) -> float:
    return 1000 * statistics.quantiles(seconds, n=100)[98]


def _verdict(held: bool) -> str:  # noqa: FBT001  it is what is printed
    return "ok" if held else "MISSED"


if __name__ == "__main__":
    main()
