"""Kills a service at random and tells what came of it: seed by seed, the same kills each time.

    python random_crashes.py DIRECTORY 1 500        the runs of seeds 1 to 500, in this order

A seed decides which job runs, whether a user leaves a desktop at that moment, at which boundary
(fakes.crash_driver) the job is cancelled, if at all, and when each of one to three lives is
killed: at a boundary, or after so many milliseconds, but as soon as its job has ended at the
latest. Then one lives on until all has settled.
One line per run. The exit code is 1 when anything was wrong.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import provisioning_rig as rigs
from fakes.crash_driver import EXPORT, HOSTS, PARAMETERS, Boundaries, Watched, fork
from fakes.pool_rig import HOST, PoolRig
from openrdms.model.collection import CollectionState
from openrdms.model.desktop_use import Use
from openrdms.model.errors import InvalidOperation
from openrdms.model.job import JobAction
from openrdms.model.provisioning import JobDocument
from openrdms.model.rollout import parse_waves

RESUME_SECONDS = 5.0
"""Within this after its start a service must go on with its job."""

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
}
"""By scenario; a Prep has none. All but the creates begin with three desktops that are READY."""

BOUNDARIES = {
    "create": 40,
    "create-off": 24,
    "update": 40,
    "patch": 50,
    "delete": 24,
    "prep": 24,
}
"""About how many boundaries a job has."""

SECONDS = 0.25
"""About how long a job takes."""


@dataclass(frozen=True)
class Kill:
    """At that boundary of a life, or so many seconds after its job was begun or resumed."""

    boundary: int = 0
    seconds: float = 0.0


NEVER = Kill()


@dataclass(frozen=True)
class Plan:
    """What a seed stands for. ``cancel_at`` 0 is never; it counts in the first life only."""

    seed: int
    scenario: str
    kills: tuple[Kill, ...]
    cancel_at: int = 0
    user: bool = False


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    dice = random.Random(seed)
    scenario = dice.choice(list(DOCUMENTS))
    most = BOUNDARIES[scenario]
    cancel_at = dice.randint(1, most) if scenario != "delete" and dice.random() < 0.4 else 0
    first = _draw_kill(dice, cancel_at + 1, cancel_at + most)
    others = (_draw_kill(dice, 1, most) for _ in range(dice.choice([0, 0, 0, 1, 2])))
    kills = (first, *others)
    user = scenario in ("update", "patch", "delete") and dice.random() < 0.5
    return Plan(seed, scenario, kills, cancel_at, user)


def _draw_kill(dice: random.Random, least: int, most: int) -> Kill:
    if dice.random() < 0.5:
        return Kill(boundary=dice.randint(least, most))
    return Kill(seconds=dice.uniform(0, SECONDS))


class Life:
    """One life of the service in ``directory``; with a ``kill`` it does not see all settle."""

    def __init__(self, directory: Path, plan: Plan, kill: Kill) -> None:
        self.began = time.monotonic()
        self.directory = directory
        self.plan = plan
        self.kill = kill
        self.first = not (directory / "begun").exists()
        self.boundaries = Boundaries(self.kill.boundary, plan.cancel_at if self.first else 0)
        self.resumed = 0.0

        def watch(port: Any) -> Any:
            return Watched(port, self._pass, lambda made: None)

        self.rig = PoolRig(directory, PARAMETERS, wrap_host=watch, wrap_store=watch)

    def live(self) -> None:
        """Begin the job or go on with it, and write down what there is once all has settled."""
        self.boundaries.cancel = self._cancel
        if self.first:
            self._begin()
        else:
            self._arm()
            self.rig.resume()
        earlier = int(self._starts_with_desktops)
        self.rig.wait_until(lambda: len(self._jobs()) > earlier or self._execute())
        report = self.rig.wait(self._jobs()[earlier], 60.0)
        if self.kill != NEVER:
            (self.directory / "late").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if not self.first:
            self.resumed = self.resumed or time.monotonic() - self.began
        settled = self._settle()
        self._write(report.state, settled=settled)

    @property
    def _starts_with_desktops(self) -> bool:
        return not self.plan.scenario.startswith("create")

    def _begin(self) -> None:
        rig = self.rig.resume()
        rig.add_collection()
        if self._starts_with_desktops:
            rig.run(_FIRST)
            rig.wait_until(lambda: rig.store.count_uses(rigs.POOL) == {Use.READY: 3})
        if self.plan.user:
            rig.take()
            taken = next(use for use in rig.store.list_uses() if use.use is Use.TAKEN)
            rig.log_on(taken.name)
            (self.directory / "used").write_text(f"{taken.name} {self._made(taken.name)}")
            rig.log_off(taken.name)
        (self.directory / "begun").touch()
        self._arm()

    def _arm(self) -> None:
        self.boundaries.counting = True
        if self.kill.seconds:
            timer = threading.Timer(self.kill.seconds, os.kill, (os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()

    def _pass(self, name: str) -> None:
        if not self.first and not self.resumed:
            self.resumed = time.monotonic() - self.began
        self.boundaries(name)

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
        if len(jobs) <= int(self._starts_with_desktops):
            return
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
        while time.monotonic() < deadline:
            uses = self.rig.store.list_uses()
            if all(
                use.use is Use.READY or (use.use is Use.UNREADY and use.left_off) for use in uses
            ):
                return True
            time.sleep(0.02)
        return False

    def _made(self, name: str) -> int:
        """How often the desktop's disk was made."""
        query = "SELECT sum(count) FROM attempts WHERE vm = ? AND kind = 'clone'"
        with closing(sqlite3.connect(self.rig.simulator / "state.sqlite", timeout=30)) as truth:
            (count,) = truth.execute(query, (name,)).fetchone()
        return int(count or 0)

    def _write(self, state: CollectionState, *, settled: bool) -> None:
        self.boundaries.counting = False
        rig = self.rig
        used = (self.directory / "used").read_text().split() if self.plan.user else []
        found = {
            "state": state.name,
            "collection": rig.state().name,
            "cancelled": (self.directory / "cancelled").exists(),
            "settled": settled,
            "resumed": self.resumed,
            "vms": rig.vms(),
            "files": rig.files(),
            "records": {d.name: d.generation for d in rig.store.list_desktops()},
            "uses": {use.name: str(use.use) for use in rig.store.list_uses()},
            "claims": [use.name for use in rig.store.list_uses() if use.claim],
            "orphans": [str(orphan) for orphan in rig.orphans()],
            "images": [image.reference for image in rig.images.list()],
            "staging": [str(path) for path in (self.directory / "state" / "prep").glob("*")],
            "used": {used[0]: [int(used[1]), self._made(used[0])]} if used else {},
        }
        (self.directory / "result.json").write_text(json.dumps(found))


def run(directory: Path, seed: int) -> dict[str, Any]:
    """All lives of a seed; what there is after them, and what is wrong with it."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    plan = draw(seed)
    kills: list[str] = []
    for kill in (*plan.kills, NEVER):
        code = fork(lambda kill=kill: Life(directory, plan, kill).live())
        if code != (0 if kill == NEVER else -signal.SIGKILL):
            return _tell(plan, kills, {}, [f"a life ended with {code}"])
        kills.append(_describe_kill(directory, kill))
    found: dict[str, Any] = json.loads((directory / "result.json").read_text())
    return _tell(plan, kills[:-1], found, judge(plan, found))


def _describe_kill(directory: Path, kill: Kill) -> str:
    """How a life ended of which ``directory`` is what is left."""
    late = directory / "late"
    if late.exists():
        late.unlink()
        return "at its end"
    return f"at boundary {kill.boundary}" if kill.boundary else f"after {kill.seconds:.3f} s"


def _tell(plan: Plan, kills: list[str], found: dict[str, Any], wrong: list[str]) -> dict[str, Any]:
    return {**found, **asdict(plan), "killed": kills, "wrong": wrong}


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
        f"claims of {found['claims']}": bool(found["claims"]),
        f"went on after {found['resumed']:.1f} s": found["resumed"] > RESUME_SECONDS,
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
    parts = [
        f"{found['seed']:4} {found['scenario']:10}",
        "a user leaves" if found["user"] else "",
        f"cancel at boundary {found['cancel_at']}" if found["cancel_at"] else "",
        f"killed {', '.join(found['killed']) or 'never'}",
        f"went on after {found['resumed']:.2f} s" if found.get("resumed") else "",
        found.get("state", ""),
        "; ".join(found["wrong"]) or "well",
    ]
    return "; ".join(part for part in parts if part)


def main() -> None:
    directory, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    wrong = 0
    for seed in range(first, last + 1):
        found = run(directory / str(seed), seed)
        wrong += bool(found["wrong"])
        print(describe(found), flush=True)
        if not found["wrong"]:
            shutil.rmtree(directory / str(seed))
    sys.exit(min(1, wrong))


if __name__ == "__main__":
    main()
