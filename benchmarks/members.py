"""What reads and jobs cost with one service and with three, and what limits the sum of their work.

usage: benchmarks/run-members [--pairs N] [--desktops N] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

from benchmarks.deployment import Deployment, Spent, deployed
from benchmarks.waits import (
    Counts,
    Seen,
    Turn,
    limited,
    read_statements,
    reset_statements,
    watched,
)
from openrdms.model.job import JobAction

SERVICES = 3
RATIO_BAR = 1.10
"""Processor time with three services as a multiple of that with one."""

_TOLD_APART = "WS-Man Get"
"""Asked of one of the services, too, and once more while the kernel has whoever wakes push others
off a processor, as it does by default.
"""

_BY_DEFAULT = "  under SCHED_OTHER"

_IDLE_SECONDS = 15.0
_READ_SECONDS = 3
_REST_SECONDS = 2
"""An account may ask each service by REST 1000 times after a rest, and 200 times a second."""

_JOBS = 3
"""At once, each at the next service."""

_SHARES = {"desktops": (0.1, 0.2), "reads": (0.05, 0.1)}
"""Of one processor, that PostgreSQL is held to: less than one service alone would have it use."""

_TURNS = (Turn.POSTGRESQL, Turn.DISK, Turn.SERVICE)
"""By whom a transaction that writes is held up."""

_NAME = 34
_DEAREST, _WIDTH = 5, 100
_numbers = itertools.count(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--desktops", type=int, default=600, help="of all jobs at once")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=[*PARTS])
    given = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
    # as the unit has it; PostgreSQL and clients, too, since they are on the same processors here
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with ExitStack() as ends:
        one, three = (ends.enter_context(deployed(count)) for count in (1, SERVICES))
        kept = [PARTS[part](given, one, three) for part in given.only]
    sys.exit(not all(kept))


@dataclass
class Pairs:
    """What the same work has cost with one service and with three, for each thing of it."""

    name: str
    places: tuple[Deployment, Deployment]
    work: Callable[[Deployment], int]
    """Returns how many things it has done."""
    found: list[tuple[Spent, Spent]] = field(default_factory=list)

    def add(self, *, turned: bool) -> None:
        """Do it once more at both; where it is ``turned`` at the second one first."""
        spent = {place: _measure(place, self.work) for place in self.places[:: -1 if turned else 1]}
        self.found.append((spent[self.places[0]], spent[self.places[1]]))

    def median(self, of: Callable[[Spent], float], which: int) -> float:
        """Milliseconds."""
        return 1000 * statistics.median(of(pair[which]) for pair in self.found)

    def ratio(self, of: Callable[[Spent], float]) -> float:
        """The median of three services as a multiple of one."""
        return statistics.median(of(three) / of(one) for one, three in self.found)

    def without(self, idle: Mapping[Deployment, Spent]) -> Pairs:
        """Less what would have been spent anyway."""
        first, second = (idle[place] for place in self.places)
        less = [(one.without(first), three.without(second)) for one, three in self.found]
        return replace(self, found=less)


def _print_costs(given: argparse.Namespace, one: Deployment, three: Deployment) -> bool:
    """Processor time of the same work, in pairs."""
    works = [*_reads((one, three)), *_jobs((one, three), given.desktops)]
    for pairs in works:  # what is done once is none of it
        for place in pairs.places:
            pairs.work(place)
    idle = _measure_idle(one, three)
    for number in range(given.pairs):
        for pairs in works:
            pairs.add(turned=number % 2 == 0)
    return _print_pairs(works, idle, one, three)


def _reads(both: tuple[Deployment, Deployment]) -> Iterator[Pairs]:
    for name in both[0].reads():
        seconds = _REST_SECONDS if name.startswith("REST") else _READ_SECONDS
        yield Pairs(name, both, partial(_read, name=name, seconds=seconds))
        if name == _TOLD_APART:
            yield Pairs("  one of them is asked", both, partial(_read_at_one, name=name))
            yield Pairs(_BY_DEFAULT, both, partial(_read_by_default, name=name))


def _read(deployment: Deployment, name: str, seconds: int) -> int:
    return deployment.read(name, seconds)


def _read_at_one(deployment: Deployment, name: str) -> int:
    deployment.use(1)
    count = deployment.read(name, _READ_SECONDS)
    deployment.use(SERVICES)
    return count


def _read_by_default(deployment: Deployment, name: str) -> int:
    deployment.schedule(os.SCHED_OTHER)
    count = deployment.read(name, _READ_SECONDS)
    deployment.schedule(os.SCHED_BATCH)
    return count


def _jobs(both: tuple[Deployment, Deployment], desktops: int) -> Iterator[Pairs]:
    """Each of the collections that one creates the next one removes."""
    for words, jobs in (("", 1), (f", {_JOBS} jobs", _JOBS)):
        made: dict[Deployment, list[str]] = {}
        for name, action in (("create", JobAction.CREATE), ("delete", JobAction.DELETE)):
            each = desktops // jobs
            work = partial(_run_jobs, action=action, jobs=jobs, desktops=each, made=made)
            yield Pairs(f"{name} a desktop{words}", both, work)


def _run_jobs(
    deployment: Deployment,
    action: JobAction,
    jobs: int,
    desktops: int,
    made: dict[Deployment, list[str]],
) -> int:
    if action is JobAction.CREATE:
        made[deployment] = [f"c{next(_numbers)}" for _ in range(jobs)]
    deployment.run_jobs(action, made[deployment], desktops)
    return jobs * desktops


def _measure(place: Deployment, work: Callable[[Deployment], int]) -> Spent:
    before = place.spent()
    count = work(place)
    return (place.spent() - before) / count


def _measure_idle(*places: Deployment) -> dict[Deployment, Spent]:
    before = {place: place.spent() for place in places}
    time.sleep(_IDLE_SECONDS)
    return {place: place.spent() - then for place, then in before.items()}


def _print_pairs(works: list[Pairs], idle: Mapping[Deployment, Spent], *both: Deployment) -> bool:
    columns = (
        "1 service",
        f"{SERVICES} services",
        "ratio",
        "PostgreSQL",
        f"of {SERVICES}",
        "ratio",
    )
    _head("processor ms each", *columns, "both")
    kept = []
    for pairs in works:
        for words, those in (("", pairs), ("  but for idling", pairs.without(idle))):
            ratio = those.ratio(lambda spent: spent.both)
            counts = pairs.name != _BY_DEFAULT  # that is there to compare with
            kept.append(ratio <= RATIO_BAR or not counts)
            _row(
                words or pairs.name,
                *_each(those, _services),
                *_each(those, _postgresql),
                f"{ratio:.2f}",
                bar=_at_most(ratio, RATIO_BAR) if counts else "",
            )
    for name, of in (("services", _services), ("PostgreSQL", _postgresql)):
        shares = [100 * of(spent) / spent.wall for spent in map(idle.__getitem__, both)]
        added = (shares[1] - shares[0]) / (SERVICES - 1)
        print(
            f"idle, {name}: {shares[0]:.1f} % of a processor with one service, {shares[1]:.1f} % "
            f"with {SERVICES}: {added:.1f} % for each that is added"
        )
    return all(kept)


def _services(spent: Spent) -> float:
    return spent.services


def _postgresql(spent: Spent) -> float:
    return spent.postgresql


def _each(pairs: Pairs, of: Callable[[Spent], float]) -> tuple[str, str, str]:
    return f"{pairs.median(of, 0):.3f}", f"{pairs.median(of, 1):.3f}", f"{pairs.ratio(of):.2f}"


@dataclass(frozen=True)
class Load:
    """What so many ``services`` have done with PostgreSQL held to a ``share`` of a processor."""

    share: float | None
    services: int
    count: int
    spent: Spent
    seconds: float
    seen: Seen
    counts: Counts

    @property
    def rate(self) -> float:
        """Desktops or reads a second."""
        return self.count / self.seconds

    def part(self, *turns: Turn) -> float:
        """Of the time in which there was work: what was not anybody's writing came besides."""
        return self.seen.share(*turns) * self.spent.wall / self.seconds

    @property
    def used(self) -> float:
        """Processors that PostgreSQL had while there was work."""
        return self.spent.postgresql / self.seconds


def _print_limit(given: argparse.Namespace, _: Deployment, three: Deployment) -> bool:
    """The sum of the work of one to three services, with and without a PostgreSQL held back."""
    reset_statements(three.records)
    for what, work in (
        ("desktops", partial(_make_and_remove, desktops=given.desktops)),
        ("reads", _read_on),
    ):
        _head(f"{what} a second", "sum", *("of services", "PostgreSQL"), "writing", *_TURNS)
        for share in (None, *_SHARES[what]):
            loads = [_load(three, share, count, work) for count in range(1, SERVICES + 1)]
            _print_loads(loads)
    print("\nthe dearest statements: calls, seconds in the server, text")
    for calls, seconds, text in read_statements(three.records, _DEAREST):
        print(f"{calls:9}{seconds:9.2f}  {text[:_WIDTH]}")
    return True


def _load(
    deployment: Deployment,
    share: float | None,
    services: int,
    work: Callable[[Deployment], tuple[int, float]],
) -> Load:
    deployment.use(services)
    with ExitStack() as ends:
        if share is not None:
            ends.enter_context(limited(deployment, share))
        counts = Counts.read(deployment.records)
        before = deployment.spent()
        seen = ends.enter_context(watched(deployment))
        count, seconds = work(deployment)
        spent = deployment.spent() - before
        counts = Counts.read(deployment.records).since(counts)
    deployment.use(SERVICES)
    return Load(share, services, count, spent, seconds, seen, counts)


def _make_and_remove(deployment: Deployment, desktops: int) -> tuple[int, float]:
    """How many, and the seconds in which."""
    aliases = [f"l{next(_numbers)}" for _ in range(_JOBS)]
    actions, each = (JobAction.CREATE, JobAction.DELETE), desktops // _JOBS
    seconds = sum(deployment.run_jobs(action, aliases, each) for action in actions)
    return _JOBS * each, seconds


def _read_on(deployment: Deployment) -> tuple[int, float]:
    """How many, and the seconds in which."""
    return deployment.read("WS-Man Get", _READ_SECONDS), _READ_SECONDS


def _print_loads(loads: list[Load]) -> None:
    for load in loads:
        held = f"PostgreSQL on {load.share:.0%}" if load.share else "nothing held back"
        _row(
            f"{held}, {load.services} at work",
            f"{load.rate:.1f}",
            f"{load.spent.services / load.seconds:.2f}",
            f"{load.used:.2f}",
            f"{load.part(*_TURNS):.0%}",
            *(f"{load.part(turn):.0%}" for turn in _TURNS),
            bar="",
        )
    last = loads[-1]
    if last.share is None:
        _print_computed(loads)
    else:
        print(
            f"  {SERVICES} services do {last.rate / loads[0].rate:.2f} times what one does; of its "
            f"share PostgreSQL has used {last.used / last.share:.0%}"
        )


def _print_computed(loads: list[Load]) -> None:
    """What follows from the costs of one thing while nothing is held back."""
    one = loads[0]
    service, server = (
        1000 * spent / one.count for spent in (one.spent.services, one.spent.postgresql)
    )
    locked = 1000 * one.seconds * one.part(*_TURNS) / one.count
    counts = one.counts
    print(
        f"  each: {service:.2f} ms of a service, {server:.2f} ms of PostgreSQL, "
        f"{locked:.2f} ms in which nobody else writes; {counts.commits / one.count:.2f} commits, "
        f"{counts.syncs / one.count:.2f} waits for the disk, "
        f"{counts.octets / one.count / 1024:.1f} KiB of log; "
        f"{one.seen.in_line:.2f} others waited to write"
    )
    print(
        f"  computed: a service's processor bears {1000 / service:.0f} a second, one of PostgreSQL "
        f"{1000 / server:.0f}: as much as {service / server:.1f} services"
        + (
            f"; writers in turn {1000 / locked:.0f}: {service / locked:.1f} services"
            if locked
            else ""
        )
    )


def _head(title: str, *columns: str) -> None:
    print(f"\n{title:{_NAME}}" + "".join(f"{column:>13}" for column in columns) + "  bar")


def _row(name: str, *figures: str, bar: str) -> None:
    line = f"{name:{_NAME}}" + "".join(f"{figure:>13}" for figure in figures) + f"  {bar}"
    print(line.rstrip(), flush=True)


def _at_most(figure: float, bar: float) -> str:
    return f"at most {bar:.2f}: {'kept' if figure <= bar else 'EXCEEDED'}"


PARTS: dict[str, Callable[[argparse.Namespace, Deployment, Deployment], bool]] = {
    "costs": _print_costs,
    "limit": _print_limit,
}


if __name__ == "__main__":
    main()
