"""A host that is cut off from the network and comes back: how soon its desktops are unknown, and
right again, and what jobs for another host take meanwhile. Each host is a libvirtd in namespaces
of its own (which takes root), reached by TLS, then by SSH; desktops are left off, so the service's
work counts.

usage: benchmarks/run-hosts [--runs N] [--desktops N] [--by tls|ssh]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measured import Measured
from live.namespaces import Machine, machines
from live.rollout import remove_all
from live.service import Service, rdms, until
from openrdms.model.collection import CollectionState
from openrdms.model.host import VmState

CUT, OTHER = "cut", "other"
UNKNOWN_BAR = RIGHT_BAR = 10.0
"""Seconds."""
SLOWER_BAR = 1.1
_LONGER_SECONDS = 5.0
"""By which each cut lasts longer than the last: connections are met dead, and still alive."""
_JOBS = 2
"""How many, one after the other, are timed before each cut and during it."""
_PATIENCE_SECONDS = 300.0


@dataclass
class Seen:
    """Seconds. Jobs are for the other host: while both are there, while one is away, one that was
    under way at the cut, and one that began before the cut was noticed.
    """

    lost: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    under_way: list[float] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)

    def show(self, desktops: int) -> bool:
        """Whether the bars were kept, which are of the worst times and of the jobs' medians."""
        usual = statistics.median(self.alone)
        print(f"  job of {desktops} desktops at the other host, both there: {render(self.alone)}")
        shown = (
            ("desktops unknown after the cut", self.lost, max(self.lost), UNKNOWN_BAR),
            ("desktops right after the return", self.back, max(self.back), RIGHT_BAR),
            ("job beside one that is away", self.beside, *slowed(self.beside, usual)),
            ("job under way at the cut", self.under_way, *slowed(self.under_way, usual)),
        )
        for what, seconds, found, bar in shown:
            verdict = "kept" if found <= bar else "EXCEEDED"
            print(f"  {what}: {render(seconds)}; {found:.2f}, at most {bar:g}: {verdict}")
        more = statistics.median(self.begun) - usual  # a wait that does not grow with the job
        print(f"  job begun before it was noticed: {render(self.begun)}; {more:.2f} s more")
        return all(found <= bar for *_, found, bar in shown)


def slowed(seconds: list[float], usual: float) -> tuple[float, float]:
    """By what it takes of the usual time, and the bar for that."""
    return statistics.median(seconds) / usual, SLOWER_BAR


def render(seconds: list[float]) -> str:
    return " ".join(f"{one:.2f}" for one in seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--desktops", type=int, default=200)
    parser.add_argument("--by", choices=["tls", "ssh"])
    asked = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        place = Path(directory)
        with machines(2, place) as hosts:
            os.environ["PATH"] = f"{place / 'programs'}:{os.environ['PATH']}"
            kept = [
                measure(hosts, place, by, asked.runs, asked.desktops)
                for by in ([asked.by] if asked.by else ["tls", "ssh"])
            ]
    sys.exit(not all(kept))


def measure(hosts: list[Machine], place: Path, by: str, runs: int, desktops: int) -> bool:
    """Whether the bars were kept by that transport."""
    shared = f"accel=qemu&shared={place}/shared-{by}"
    uris = [f"{getattr(one, by)}&name={one.name}&{shared}" for one in hosts]
    service = Service(place / f"state-{by}", *uris)
    try:
        service.start()
        rdms("image", "build", "tiny", "--variant", "tiny", "--state-dir", service.state_dir)
        print(f"qemu+{by}")
        return compare(Measured(service, place), hosts, runs, desktops)
    finally:
        service.clear()


def compare(measured: Measured, hosts: list[Machine], runs: int, desktops: int) -> bool:
    """Two cuts a run: one that is waited for, one at which a job is under way, and one begins."""
    cut, other = hosts
    begin(measured, CUT, cut, 2)
    fill(measured, other, desktops)  # what is done once is done
    seen = Seen()
    for run in range(runs):
        seen.alone += [fill(measured, other, desktops) for _ in range(_JOBS)]
        cut.cut_off()
        seen.lost.append(clock(lambda: wait_for(measured, VmState.UNKNOWN)))
        seen.beside += [fill(measured, other, desktops) for _ in range(_JOBS)]
        time.sleep(run * _LONGER_SECONDS)
        come_back(measured, cut, seen)
        seen.under_way.append(fill(measured, other, desktops, when_under_way=cut.cut_off))
        seen.begun.append(fill(measured, other, desktops))
        wait_for(measured, VmState.UNKNOWN)
        come_back(measured, cut, seen)
    return seen.show(desktops)


def come_back(measured: Measured, cut: Machine, seen: Seen) -> None:
    cut.connect_again()
    seen.back.append(clock(lambda: wait_for(measured, VmState.STOPPED)))


def fill(
    measured: Measured,
    host: Machine,
    desktops: int,
    when_under_way: Callable[[], None] = lambda: None,
) -> float:
    """Seconds in which a job makes so many desktops there, which are removed then."""
    seconds = begin(measured, OTHER, host, desktops, when_under_way)
    remove_all(measured.wire, OTHER, _PATIENCE_SECONDS)
    return seconds


def begin(
    measured: Measured,
    alias: str,
    host: Machine,
    count: int,
    when_under_way: Callable[[], None] = lambda: None,
) -> float:
    job = measured.begin_create(alias, count, host=host.name, start=False)
    query = "SELECT 1 FROM job_desktops WHERE job = ? LIMIT 1"
    until("it is planned", lambda: measured.service.read_rows(query, job.guid), pause=0.01)
    when_under_way()
    cost = measured.finish(job)
    assert cost.state is CollectionState.JOB_COMPLETED, cost
    return cost.wall


def wait_for(measured: Measured, state: VmState) -> None:
    def reached() -> bool:
        where = f"CollectionAlias = '{CUT}'"
        found = measured.wire.enumerate("Win32_RDMSVirtualDesktop", where)
        return bool(found) and all(one["VMState"] == str(int(state)) for one in found)

    until(f"desktops of {CUT} are {state.name}", reached, _PATIENCE_SECONDS, pause=0.1)


def clock(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
