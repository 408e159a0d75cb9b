"""Kills and pauses services of several at random while they carry out a job, and judges the end.

    python random_takeovers.py DIRECTORY COUNT 1 100      jobs of COUNT desktops, seeds 1 to 100

A seed decides what is done to which service and when, whether the job is cancelled, and whether it
makes desktops or removes them. Services run on from seed to seed; who has been killed, or was
paused for so long that the others took it for dead, is started again. One line per seed; the exit
code is 1 when anything was wrong.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from live.postgresql import PostgreSql
from live.service import PASSWORD, until
from live.services import Balancer, Member, Services, services
from openrdms.adapters.sql.members import SILENT_SECONDS
from openrdms.cli.rdms_client import Login, RdmsClient
from openrdms.model import errors
from openrdms.model.collection import CollectionState
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import HostAllocation, JobDocument, OnError, render_job

COLLECTION = "Win32_RDMSVirtualDesktopCollection"
SPEED = "hosts=4&slots=4&capacity=100000&clone_ms=150&start_ms=150&boot_ms=300&agent_ms=1"

END_SECONDS = 180.0
"""Within this after the last blow a job must have ended, however busy the machine is."""


@dataclass(frozen=True)
class Blow:
    """To the service that runs the job, or to one by its number; it is down so many seconds."""

    at: float
    pause: bool
    victim: int | None
    seconds: float


@dataclass(frozen=True)
class Plan:
    seed: int
    action: JobAction
    blows: tuple[Blow, ...]
    cancel_at: float | None


def draw(seed: int, seconds: float, count: int = 3) -> Plan:
    """What a seed stands for, where a job takes about so many ``seconds``."""
    dice = random.Random(seed)
    action = dice.choice([JobAction.CREATE, JobAction.CREATE, JobAction.DELETE])
    blows = tuple(
        Blow(
            dice.uniform(0, seconds),
            pause := dice.random() < 0.4,
            None if dice.random() < 0.7 else dice.randrange(count),
            dice.uniform(1, 1.6 * SILENT_SECONDS) if pause else dice.uniform(0, 4),
        )
        for _ in range(dice.choice([1, 1, 2, 3]))
    )
    cancelled = action is JobAction.CREATE and dice.random() < 0.25
    return Plan(seed, action, blows, dice.uniform(0, seconds) if cancelled else None)


@dataclass
class Found:
    """What came of a seed."""

    plan: Plan
    state: str = ""
    seconds: float = 0.0
    blows: list[str] = field(default_factory=list)
    takeovers: list[float] = field(default_factory=list)
    """Seconds from the death of who ran the job until another one had taken it."""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        taken = ", ".join(f"{seconds:.1f} s" for seconds in self.takeovers)
        parts = [
            f"{self.plan.seed:4} {self.plan.action.name.lower()}",
            ", ".join(self.blows),
            f"cancelled at {self.plan.cancel_at:.1f} s" if self.plan.cancel_at is not None else "",
            f"taken over after {taken}" if taken else "",
            f"{self.state} after {self.seconds:.0f} s",
            "; ".join(self.wrong) or "well",
        ]
        return "; ".join(part for part in parts if part)


class World:
    """Services that go on from seed to seed, with ``count`` desktops a job."""

    def __init__(self, world: Services, count: int) -> None:
        self.services = world
        self.count = count
        self.seconds = max(2.0, count / 16 * 0.6)
        self._balancer = Balancer(self._targets())
        self._starting = [threading.Lock() for _ in world.members]

    def run(self, seed: int) -> Found:
        """Its job from begin to end, and what is wrong then."""
        plan = draw(seed, self.seconds, len(self.services.members))
        found = Found(plan)
        alias = f"p{seed}"
        self.create_collection(alias)
        if plan.action is JobAction.DELETE:
            self.await_end(self.execute(alias, JobAction.CREATE))
        begun = time.monotonic()
        guid = self.execute(alias, plan.action)
        threads = [
            threading.Thread(target=self._strike, args=(blow, guid, found)) for blow in plan.blows
        ]
        if plan.cancel_at is not None:
            threads.append(threading.Thread(target=self._cancel, args=(plan.cancel_at, guid)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.await_end(guid)
        found.seconds = time.monotonic() - begun
        self._judge(alias, guid, found)
        return found

    def close(self) -> None:
        self._balancer.close()

    def _targets(self) -> list[tuple[str, int]]:
        urls = (urlsplit(one.ready["wsman_https"]) for one in self.services.members)
        return [(str(url.hostname), int(url.port or 0)) for url in urls]

    def start_again(self, victim: Member) -> None:
        """One that has ended."""
        self.services.start_again(victim)
        self._balancer.targets = self._targets()

    @contextmanager
    def _client(self) -> Iterator[RdmsClient]:
        """Of any service that takes a connection."""
        url = f"https://127.0.0.1:{self._balancer.port}/wsman"
        with RdmsClient(Login(url, "admin", PASSWORD, insecure=True)) as client:
            yield client

    def create_collection(self, alias: str) -> None:
        """An empty pool."""
        with self._client() as client:
            values = {"Alias": alias, "Name": alias, "Type": 1, "IsManaged": True}
            client.create(COLLECTION, values)

    def execute(self, alias: str, action: JobAction) -> str:
        """The GUID of a job for ``count`` desktops, or for all there are."""
        document = JobDocument(
            action=action,
            on_error=OnError.STOP if action is JobAction.CREATE else OnError.CONTINUE,
            collection=alias,
            disk_kind=DiskKind.LINKED,
            base_vm_location="image:tiny",
            name_prefix=f"{alias}-",
            hosts=(HostAllocation("", self.count),) if action is JobAction.CREATE else (),
        )
        with self._client() as client:
            text = render_job(document)
            outputs = client.invoke(COLLECTION, "ProvisioningJobExecute", JobInputXml=text)
        return str(outputs["JobGuid"])

    def _cancel(self, at: float, guid: str) -> None:
        time.sleep(at)
        while True:
            try:
                with self._client() as client:
                    client.invoke(COLLECTION, "ProvisioningJobCancel", JobGuid=guid)
            except errors.InvalidOperation:
                return  # it came too late
            except errors.RdmsError:
                if self._ended(guid):
                    return
                time.sleep(0.2)
            else:
                return

    def _strike(self, blow: Blow, guid: str, found: Found) -> None:
        time.sleep(blow.at)
        owner = self.services.owner(guid)
        victim = owner if blow.victim is None else self.services.members[blow.victim]
        if victim is None:
            return
        with self._starting[self.services.members.index(victim)]:
            if not victim.is_running:
                return
            how = "paused" if blow.pause else "killed"
            what = "its service" if victim is owner else "another"
            found.blows.append(f"{what} {how} at {blow.at:.1f} s for {blow.seconds:.1f} s")
            if blow.pause:
                self._pause(victim, blow.seconds)
            else:
                self._kill(victim, blow.seconds, guid if victim is owner else "", found)

    def _kill(self, victim: Member, seconds: float, guid: str, found: Found) -> None:
        victim.kill()
        died = time.monotonic()
        while guid and time.monotonic() < died + seconds and not self._ended(guid):
            if self.services.owner(guid):
                found.takeovers.append(time.monotonic() - died)
                break
            time.sleep(0.05)
        time.sleep(max(0.0, died + seconds - time.monotonic()))
        self.start_again(victim)

    def _pause(self, victim: Member, seconds: float) -> None:
        victim.signal(signal.SIGSTOP)
        time.sleep(seconds)
        victim.signal(signal.SIGCONT)
        if seconds > SILENT_SECONDS - 1:  # it may have been taken for dead: then it ends
            victim.wait_a_moment(10)
        if not victim.is_running:
            self.start_again(victim)

    def _ended(self, guid: str) -> bool:
        query = "SELECT 1 FROM jobs WHERE guid = %s AND ended IS NOT NULL"
        return bool(self.services.read(query, guid))

    def await_end(self, guid: str) -> None:
        """Until the job has ended."""
        until(f"job {guid} has ended", lambda: self._ended(guid), END_SECONDS)

    def _judge(self, alias: str, guid: str, found: Found) -> None:
        [(state, cancelled)] = self.services.read(
            "SELECT state, cancel_requested IS NOT NULL FROM jobs WHERE guid = %s", guid
        )
        found.state = CollectionState(state).name
        deleted = found.plan.action is JobAction.DELETE
        completed = CollectionState.JOB_COMPLETED
        expected = 0 if deleted or cancelled else self.count
        [(records,)] = self.services.read(
            "SELECT count(*) FROM desktops WHERE home_key = %s", alias
        )
        vms, twice = self._look(alias)
        orphans = [one for one in self.services.find_orphans() if alias in str(one)]
        checks = {
            f"ended in {found.state}": not cancelled and state != completed,
            "completed although it was cancelled": cancelled and state == completed,
            f"{records} records, not {expected}": records != expected,
            f"{vms} VMs, not {expected}": vms != expected,
            f"done twice: {twice}": bool(twice),
            f"orphans: {orphans}": bool(orphans),
        }
        found.wrong += [words for words, wrong in checks.items() if wrong]

    def _look(self, alias: str) -> tuple[int, list[str]]:
        """VMs of the collection there are, and what was done to one of them more than once."""
        pattern = f"{alias}-%"
        with closing(
            sqlite3.connect(self.services.simulator / "state.sqlite", timeout=60)
        ) as truth:
            (vms,) = truth.execute(
                "SELECT count(*) FROM vms WHERE name LIKE ?", (pattern,)
            ).fetchone()
            twice = truth.execute(
                "SELECT kind || ' ' || vm FROM attempts WHERE vm LIKE ? AND done > 1", (pattern,)
            ).fetchall()
        return vms, [what for (what,) in twice]


@contextmanager
def world(directory: Path, postgresql: PostgreSql, count: int) -> Iterator[World]:
    """Three services that have been up for long enough to judge each other."""
    with services(directory, postgresql, SPEED) as started:
        time.sleep(SILENT_SECONDS)
        made = World(started, count)
        try:
            yield made
        finally:
            made.close()


def main() -> None:
    directory, count, first, last = Path(sys.argv[1]), *map(int, sys.argv[2:])
    postgresql = PostgreSql()
    wrong = 0
    takeovers: list[float] = []
    try:
        postgresql.start()
        with world(directory, postgresql, count) as made:
            for seed in range(first, last + 1):
                found = made.run(seed)
                takeovers += found.takeovers
                wrong += bool(found.wrong)
                print(found, flush=True)
    finally:
        postgresql.clear()
    if takeovers:
        print(f"taken over {len(takeovers)} times, after {max(takeovers):.1f} s at most")
    sys.exit(min(1, wrong))


if __name__ == "__main__":
    main()
