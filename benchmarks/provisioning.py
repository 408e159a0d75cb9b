"""How long jobs take beside what they cannot avoid, and what they cost the service.

usage: benchmarks/run-provisioning [--desktops N] [--most N] [--only NAME ...] [--rest]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import removal
from benchmarks.measured import Begun, Cost, Measured, measured, resident_mib
from live.rollout import cancel
from openrdms.adapters import simulator
from openrdms.adapters.simulator.bound import Work, compute
from openrdms.adapters.simulator.uri import parse
from openrdms.model.collection import CollectionState

REST = (
    "benchmarks.libvirt_create",
    "benchmarks.libvirt_cancel",
    "benchmarks.connects",
    "benchmarks.messages_fanout",
)
"""What else belongs to the proof; each prints its own figures and bars."""

DEFAULT = "hosts=10&users=0"
"""Ten hosts at the simulator's latencies; nobody logs on."""

QUICK = "hosts=10&slots=100&clone_ms=1&start_ms=1&boot_ms=1&agent_ms=1&destroy_ms=1&users=0"
"""Hosts that are never what a job waits for."""

JOB_BAR = 1.2
FLAT_BAR = 0.15
MEMORY_BAR_MIB = 100.0
CANCEL_BAR = 0.5
UNDO_BAR = 1.2

_CANCELS = 5
_NAME = 46


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--desktops", type=int, default=1000, help="of a job beside its floor")
    parser.add_argument("--most", type=int, default=20_000, help="of the largest job")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=[*PARTS])
    parser.add_argument("--rest", action="store_true", help="libvirt, brokering, messages too")
    given = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
    for part in given.only:
        PARTS[part](given)
    if given.rest:
        for module in REST:
            print(f"\n{module}", flush=True)
            subprocess.run([sys.executable, "-m", module], check=True)


def _print_jobs(given: argparse.Namespace) -> None:
    """Each job beside the critical path of its hosts."""
    count, settings = given.desktops, parse(f"simulator:///none?{DEFAULT}")
    _head(f"{count} desktops, 10 hosts", "seconds", "bound", "ratio", "CPU ms each")
    with measured(DEFAULT) as place:
        for name, work, begin in (
            ("create", Work.CREATE, lambda: place.begin_create("started", count)),
            ("create --no-start", Work.CREATE_OFF, lambda: _begin_off(place, count)),
            ("delete", Work.DELETE, lambda: place.begin_delete("started")),
        ):
            cost = _completed(place.finish(begin()))
            bound = compute(count, settings, work).seconds
            ratio = cost.wall / bound
            each = f"{1000 * cost.cpu / count:.2f}"
            figures = (f"{cost.wall:.2f}", f"{bound:.2f}", f"{ratio:.2f}", each)
            _row(name, *figures, bar=_at_most(ratio, JOB_BAR))


def _begin_off(place: Measured, count: int) -> Begun:
    return place.begin_create("off", count, start=False)


def _print_costs(given: argparse.Namespace) -> None:
    """Small and large jobs at hosts that take next to no time, each on a service of its own."""
    _head("hosts that take no time", "ms each", "CPU ms each", "of the mean", "MiB more")
    counts = [count for count in (100, 1000, 5000, 20_000) if count < given.most] + [given.most]
    costs = {count: _cost_each(count) for count in counts}
    means = [sum(cost[n] for cost in costs.values()) / len(costs) for n in (0, 1)]
    for count, (wall, cpu, more) in costs.items():
        parts = (wall / means[0], cpu / means[1])
        flat = max(abs(part - 1) for part in parts)
        shown = f"{parts[0]:.2f}, {parts[1]:.2f}"
        bar = f"{_at_most(flat, FLAT_BAR)}; {_at_most(more, MEMORY_BAR_MIB, 'MiB')}"
        _row(f"create {count}", f"{wall:.2f}", f"{cpu:.2f}", shown, f"{more:.0f}", bar=bar)


def _cost_each(count: int) -> tuple[float, float, float]:
    """Milliseconds a desktop, of the processor too, and MiB at the most above the empty service.

    Small jobs are run often enough for their cost to be seen beside the kernel's ticks.
    """
    times = max(1, 1000 // count)
    with measured(QUICK) as place:
        empty = resident_mib(place.pid)
        _completed(place.finish(place.begin_create("warm", 100)))
        costs = [_completed(place.finish(place.begin_create(f"c{n}", count))) for n in range(times)]
    wall, cpu = (sum(part) / times / count * 1000 for part in zip(*map(_times, costs), strict=True))
    return wall, cpu, max(cost.most_mib for cost in costs) - empty


def _times(cost: Cost) -> tuple[float, float]:
    return cost.wall, cost.cpu


def _print_cancel(given: argparse.Namespace) -> None:
    """Jobs cancelled in their middle, beside bare calls that remove what each had made by then.

    Hosts are not done with a removal before calls end that hold their slots at the cancel, which
    nobody can take back: their own removal time has both.
    """
    _head(f"cancel of {given.desktops} in their middle", "seconds", "floor", "ratio", "bare calls")
    cancels = [_cancelled(given.desktops) for _ in range(_CANCELS)]
    new = max(one.new for one in cancels)
    left = sum(one.left for one in cancels)
    bar = _at_most(new, CANCEL_BAR, "s")
    _row("from the call to the last thing begun", f"{new:.3f}", "", "", "", bar=bar)
    for one in cancels:
        floor = one.floor.bare + one.floor.begun
        figures = (f"{one.undone:.2f}", f"{floor:.2f}", f"{one.undone / floor:.2f}")
        _row("from the call until all is undone", *figures, f"{one.floor.bare:.2f}", bar="")
    ratio = statistics.median(one.undone / (one.floor.bare + one.floor.begun) for one in cancels)
    _row("  the median", "", "", f"{ratio:.2f}", "", bar=_at_most(ratio, UNDO_BAR))
    _row("orphans", str(left), "", "", "", bar=_at_most(left, 0))


@dataclass(frozen=True)
class _Cancelled:
    """Seconds from the cancel to the last thing begun, and until all was undone; what was left."""

    new: float
    undone: float
    floor: removal.Removal
    left: int


def _cancelled(count: int) -> _Cancelled:
    settings = parse(f"simulator:///none?{DEFAULT}")
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory, measured(DEFAULT) as place:
        place.record_beginnings()
        job = place.begin_create("pool", count)
        time.sleep(compute(count, settings, Work.CREATE).seconds / 2)
        seen = place.copy_truth(Path(directory) / "copy")
        asked = time.time()
        assert cancel(place.wire, job.guid) == 0
        cost = place.finish(job)
        assert cost.state is CollectionState.JOB_ABORTED, cost
        undone = job.asked + cost.wall - asked
        floor = removal.measure(Path(directory) / "copy", DEFAULT, settings, seen)
        new = max(0.0, place.last_beginning() - asked)
        left = place.service.find_orphans() + _left(place.cluster)
    return _Cancelled(new, undone, floor, len(left))


def _left(cluster: Path) -> list[str]:
    """Files and VMs on the hosts."""
    truth = simulator.read_state(cluster)["hosts"]
    return [
        left for host in truth for left in (*host["disks"], *(vm["name"] for vm in host["vms"]))
    ]


def _completed(cost: Cost) -> Cost:
    assert cost.state is CollectionState.JOB_COMPLETED, cost
    return cost


def _head(title: str, *columns: str) -> None:
    print(f"\n{title:{_NAME}}" + "".join(f"{column:>13}" for column in columns) + "  bar")


def _row(name: str, *figures: str, bar: str) -> None:
    print(
        f"{name:{_NAME}}" + "".join(f"{figure:>13}" for figure in figures) + f"  {bar}", flush=True
    )


def _at_most(figure: float, bar: float, unit: str = "") -> str:
    return f"at most {bar:g} {unit}".rstrip() + (": kept" if figure <= bar else ": EXCEEDED")


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "jobs": _print_jobs,
    "costs": _print_costs,
    "cancel": _print_cancel,
}


if __name__ == "__main__":
    main()
