"""Kills a service at random and tells what came of it: seed by seed, the same kills each time.

    python random_crashes.py DIRECTORY 1 500 2        seeds 1 to 500, two at a time

A seed decides which job runs or whether a pool resets a desktop, whether a user leaves one beside
a job, at which boundary (fakes.crash_driver) the job is cancelled, if at all, and at which moment
each of one to three lives is killed; then one lives on until all has settled. Moments are numbered
as they come, from the asking for the job, or for its cancel, until the job has ended: before and
after each call that changes something, each SQL statement that writes records or the simulator's
truth, in the middle of its transaction, and each file renamed or removed. Threads do not come the
same way each time, so the number stands for the same moment or one near it. Where all was over
before it, nothing was killed: the seed draws anew.

One line per run, then one of them all. The exit code is 1 when anything was wrong.
"""

from __future__ import annotations

import itertools
import json
import logging
import multiprocessing
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import provisioning_rig as rigs
from fakes.crash_driver import EXPORT, HOSTS, PARAMETERS, Boundaries, Watched, begin_from, fork
from fakes.pool_rig import HOST, PoolRig
from openrdms.model.collection import CollectionState
from openrdms.model.desktop_use import Use
from openrdms.model.errors import InvalidOperation
from openrdms.model.job import JobAction
from openrdms.model.provisioning import JobDocument
from openrdms.model.rollout import parse_waves

SETTLE_SECONDS = 60.0
USED = "pool-1"

_FIRST = rigs.create(HOSTS)
DOCUMENTS: dict[str, JobDocument | None] = {
    "create": _FIRST,
    "create-off": rigs.create(HOSTS, start=False),
    "update": rigs.later(JobAction.UPDATE, hosts=_FIRST.hosts),
    "patch": rigs.later(JobAction.PATCH, waves=parse_waves("Waves", "34%,100%")),
    "delete": rigs.later(JobAction.DELETE),
    "prep": None,
    "reset": None,
}
"""By scenario; a Prep has none, and a reset is no job. All but the creates begin with three
desktops that are READY."""

LENGTHS = {
    "create": (48, 160),
    "create-off": (26, 105),
    "update": (50, 160),
    "patch": (84, 235),
    "delete": (0, 110),
    "prep": (76, 200),
    "reset": (0, 43),
}
"""How many boundaries each has at which it can be cancelled, and how many moments, on a machine
with nothing else to do."""

TRIES = 20
"""How often a seed may draw."""

_WRITES = re.compile(r"(?:INSERT|REPLACE|UPDATE|DELETE)\b(?: OR \w+)?(?: INTO| FROM)? [\w.\"]+")
_FILES = frozenset({"os.rename", "os.remove"})


@dataclass(frozen=True)
class Plan:
    """What a seed stands for: the moments of lives at which they are killed, and the boundary of
    the first one at which its job is cancelled, 0 for never."""

    seed: int
    scenario: str
    kills: tuple[int, ...]
    cancel_at: int = 0
    user: bool = False


def draw(seed: int, attempt: int = 0) -> Plan:
    """The plan of a seed; a later attempt differs in when it is that things happen."""
    dice = random.Random(seed)
    scenario = dice.choice(list(DOCUMENTS))
    boundaries, moments = LENGTHS[scenario]
    cancelled = boundaries > 0 and dice.random() < 0.4
    leaves = scenario in ("update", "patch", "delete") and dice.random() < 0.5
    lives = dice.choice([1, 1, 1, 2, 3])
    dice = random.Random(f"{seed}, attempt {attempt}")
    return Plan(
        seed,
        scenario,
        kills=tuple(dice.randint(1, moments) for _ in range(lives)),
        cancel_at=dice.randint(1, boundaries) if cancelled else 0,
        user=leaves or scenario == "reset",
    )


class Moments:
    """Numbers them while it counts; at the ``fatal`` one it writes into ``note`` what it was, and
    kills."""

    def __init__(self, fatal: int, note: Path, *, counting: bool) -> None:
        self._fatal = fatal
        self._note = note
        self._numbers = itertools.count(1)  # a number is one thread's alone
        self.counting = counting
        self.seen = 0

    def watch(self) -> None:
        """Hear of statements and files, too, for the rest of this process."""
        connect = sqlite3.connect

        def listen(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **kwargs)
            connection.set_trace_callback(self._hear)
            return connection

        sqlite3.connect = sqlite3.dbapi2.connect = listen  # type: ignore[assignment]
        sys.addaudithook(lambda event, _: self(event) if event in _FILES else None)

    def _hear(self, statement: str) -> None:
        if writes := _WRITES.match(statement):
            self(writes[0])

    def __call__(self, name: str) -> None:
        if not self.counting:
            return
        self.seen = number = next(self._numbers)
        if number == self._fatal:
            self._note.write_text(f"at moment {number} ({name})")
            os.kill(os.getpid(), signal.SIGKILL)


class Life:
    """One life of the service in ``directory``. Unless it is killed it sees all settle."""

    def __init__(self, directory: Path, plan: Plan, kill: int) -> None:
        self.began = time.monotonic()
        self.directory = directory
        self.plan = plan
        self.first = not (directory / "begun").exists()
        self.moments = Moments(kill, directory / "killed", counting=not self.first)
        self.moments.watch()
        self.boundaries = Boundaries(0, plan.cancel_at if self.first else 0)
        self.boundaries.cancel = self._cancel
        self.resumed = 0.0

        def watch(port: Any) -> Any:
            return Watched(port, self._pass, lambda made: None)

        self.rig = PoolRig(directory, PARAMETERS, wrap_host=watch, wrap_store=watch)

    def live(self) -> None:
        """Begin the job or go on with it, and write down what there is once all has settled."""
        self.rig.resume()
        if self.first:
            self._begin()
        state = self._end()
        self.moments.counting = self.boundaries.counting = False
        if not self.first:
            self.resumed = self.resumed or time.monotonic() - self.began
        self._write(state, settled=self._settle())

    @property
    def _earlier(self) -> int:
        """How many jobs there were before."""
        return int(_is_filled(self.plan))

    def _begin(self) -> None:
        rig = self.rig
        if self.plan.user:
            rig.take()
            taken = next(use for use in rig.store.list_uses() if use.use is Use.TAKEN)
            rig.log_on(taken.name)
            (self.directory / "used").write_text(f"{taken.name} {self._made(taken.name)}")
            rig.log_off(taken.name)
        (self.directory / "begun").touch()
        self.boundaries.counting = True
        self.moments.counting = not self.plan.cancel_at

    def _end(self) -> CollectionState:
        """How the job ended, or what the collection is in when there is none."""
        if self.plan.scenario == "reset":
            self.rig.wait_until(self._is_settled)
            return self.rig.state()
        self.rig.wait_until(lambda: len(self._jobs()) > self._earlier or self._execute())
        return self.rig.wait(self._jobs()[self._earlier]).state

    def _pass(self, name: str) -> None:
        if not self.first and not self.resumed:
            self.resumed = time.monotonic() - self.began
        self.boundaries(name)
        self.moments(name)

    def _execute(self) -> bool:
        """Ask for the job; not again when its collection is still busy with a user's reset."""
        document = DOCUMENTS[self.plan.scenario]
        if document is not None:
            self.rig.execute(document)
            return True
        try:
            self.rig.provisioning.prepare(
                collection="", host=HOST, vm=USED, export_to=EXPORT, sysprep=True
            )
        except InvalidOperation:
            return False
        return True

    def _cancel(self) -> None:
        jobs = self._jobs()
        if len(jobs) == self._earlier:
            return
        self.moments.counting = True
        try:
            self.rig.provisioning.cancel(jobs[-1])
        except InvalidOperation:
            return  # it came too late
        (self.directory / "cancelled").touch()

    def _jobs(self) -> list[str]:
        """GUIDs in the order in which the jobs were accepted."""
        store = self.rig.store
        jobs = [*store.list_jobs(running=False), *store.list_jobs(running=True)]
        return [job.guid for job in sorted(jobs, key=lambda job: job.started)]

    def _settle(self) -> bool:
        """Wait until pools have made ready what is to be."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while not self._is_settled() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self._is_settled()

    def _is_settled(self) -> bool:
        return all(
            use.use is Use.READY or (use.use is Use.UNREADY and use.left_off)
            for use in self.rig.store.list_uses()
        )

    def _made(self, name: str) -> int:
        """How often the desktop's disk was made."""
        query = "SELECT sum(count) FROM attempts WHERE vm = ? AND kind = 'clone'"
        [(count,)] = self._ask(query, name)
        return int(count or 0)

    def _ask(self, query: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self.rig.simulator / "state.sqlite", timeout=30)) as truth:
            return truth.execute(query, values).fetchall()

    def _write(self, state: CollectionState, *, settled: bool) -> None:
        rig = self.rig
        used = (self.directory / "used").read_text().split() if self.plan.user else []
        twice = "SELECT kind, vm FROM attempts WHERE done > 1 AND vm != ?"
        found = {
            "state": state.name,
            "collection": rig.state().name,
            "cancelled": (self.directory / "cancelled").exists(),
            "settled": settled,
            "resumed": self.resumed,
            "moments": self.moments.seen,
            "boundaries": len(self.boundaries.names),
            "vms": rig.vms(),
            "files": rig.files(),
            "records": {d.name: d.generation for d in rig.store.list_desktops()},
            "uses": {use.name: str(use.use) for use in rig.store.list_uses()},
            "claims": [use.name for use in rig.store.list_uses() if use.claim],
            "orphans": [str(orphan) for orphan in rig.orphans()],
            "images": [image.reference for image in rig.images.list()],
            "staging": [str(path) for path in (self.directory / "state" / "prep").glob("*")],
            "twice": self._ask(twice, used[0] if used else ""),
            "used": {used[0]: [int(used[1]), self._made(used[0])]} if used else {},
        }
        (self.directory / "result.json").write_text(json.dumps(found))


def _is_filled(plan: Plan) -> bool:
    return not plan.scenario.startswith("create")


def _prepare(directory: Path, plan: Plan) -> None:
    """What is there before anything of the plan happens."""
    rig = PoolRig(directory, PARAMETERS).resume()
    rig.add_collection()
    if _is_filled(plan):
        rig.run(_FIRST)
        rig.wait_until(lambda: rig.store.count_uses(rigs.POOL) == {Use.READY: 3})


def run(directory: Path, seed: int) -> dict[str, Any]:
    """All lives of a seed; what there is after them, and what is wrong with it."""
    mine = directory / str(os.getpid())
    found: dict[str, Any] = {}
    for attempt in range(TRIES):
        found = live(mine, draw(seed, attempt))
        if found["wrong"]:
            shutil.move(mine / "world", directory / f"seed-{seed}")
        if found["killed"] or found["wrong"]:
            return found
    return found | {"wrong": [f"nothing was killed in {TRIES} attempts"]}


def live(directory: Path, plan: Plan) -> dict[str, Any]:
    """All lives of a plan, in a world of its own."""
    world = directory / "world"
    kept = directory / ("filled" if _is_filled(plan) else "empty")
    begin_from(kept, world, lambda: _prepare(world, plan))
    killed: list[str] = []
    code = 0
    for kill in (*plan.kills, 0):
        code = fork(lambda kill=kill: Life(world, plan, kill).live())
        if code != -signal.SIGKILL:
            break
        killed.append((world / "killed").read_text())
    if code:
        return {**asdict(plan), "killed": killed, "wrong": [f"a life ended with {code}"]}
    found: dict[str, Any] = json.loads((world / "result.json").read_text())
    return {**found, **asdict(plan), "killed": killed, "wrong": judge(plan, found)}


def judge(plan: Plan, found: dict[str, Any]) -> list[str]:
    """What is wrong with how it ended; nothing if all is well."""
    completed = found["state"] == CollectionState.JOB_COMPLETED.name
    disks = sorted(f"{name}.{number}.qcow2" for name, number in found["records"].items())
    in_use = sorted(disk for files in found["vms"].values() for disk in files)
    sealed = any(image.startswith("prep-") for image in found["images"])
    checks = {
        "completed although it was cancelled": completed and found["cancelled"],
        f"ended in {found['state']}, not cancelled": not completed and not plan.cancel_at,
        f"collection in {found['collection']}, job in {found['state']}": (
            plan.scenario != "prep" and found["collection"] != found["state"]
        ),
        f"records {sorted(found['records'])}": (
            sorted(found["records"]) != _expected(plan.scenario, completed=completed)
        ),
        f"files {found['files']}, records have {disks}": found["files"] != disks,
        f"VMs use {in_use}, records have {disks}": in_use != disks,
        f"orphans {found['orphans']}": bool(found["orphans"]),
        f"staging {found['staging']}": bool(found["staging"]),
        f"images {found['images']}": sealed != (plan.scenario == "prep" and completed),
        f"uses {found['uses']}": (
            not found["settled"] or sorted(found["uses"]) != sorted(found["records"])
        ),
        f"done twice: {found['twice']}": (
            plan.scenario in ("create", "create-off", "update") and bool(found["twice"])
        ),
        f"claims of {found['claims']}": bool(found["claims"]),
        f"ready but used: {found['used']}": any(
            found["uses"].get(name) == Use.READY and now <= before
            for name, (before, now) in found["used"].items()
        ),
    }
    return [words for words, wrong in checks.items() if wrong]


def _expected(scenario: str, *, completed: bool) -> list[str]:
    """Names of the desktops that are to be there."""
    count = 3
    if scenario == "update" and completed:
        count = 6
    if (scenario == "delete" and completed) or (scenario.startswith("create") and not completed):
        count = 0
    return [f"pool-{number}" for number in range(1, count + 1)]


def describe(found: dict[str, Any]) -> str:
    """One line for docs/proofs."""
    cancel = f"cancel at boundary {found['cancel_at']}" if found["cancel_at"] else ""
    accepted = " accepted" if found.get("cancelled") else " not accepted before"
    parts = [
        f"{found['seed']:4} {found['scenario']:10}",
        "a user leaves" if found["user"] else "",
        cancel and cancel + accepted,
        f"killed {', '.join(found['killed']) or 'never'}",
        f"went on after {found['resumed']:.2f} s" if found.get("resumed") else "",
        found.get("state", ""),
        "; ".join(found["wrong"]) or "well",
    ]
    return "; ".join(part for part in parts if part)


def sum_up(runs: list[dict[str, Any]]) -> str:
    """The last line."""
    killed = [found for found in runs if found["killed"]]
    by_scenario = Counter(found["scenario"] for found in killed)
    return (
        f"{len(killed)} runs killed ({', '.join(f'{n} {what}' for what, n in by_scenario.items())})"
        f", {sum(len(found['killed']) for found in killed)} times in all, "
        f"{sum(found.get('cancelled', False) for found in killed)} of them cancelled; "
        f"went on after {max((found.get('resumed', 0.0) for found in runs), default=0):.2f} s at "
        f"most; {sum(not found['wrong'] for found in killed)} well"
    )


def main() -> None:
    directory, (first, last, jobs) = Path(sys.argv[1]), map(int, sys.argv[2:])
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    runs = []
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        for found in pool.imap(partial(run, directory), range(first, last + 1)):
            runs.append(found)
            print(describe(found), flush=True)
    print(sum_up(runs))
    sys.exit(int(any(found["wrong"] for found in runs)))


if __name__ == "__main__":
    main()
