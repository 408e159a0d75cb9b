"""Kills, pauses and cuts off services of several at random while they carry out a job, and judges
the end.

    python random_takeovers.py PROOF COUNT WORLDS

runs those of 100 seeds that the file PROOF has no line of yet, or of other code, with jobs of COUNT
desktops, in so many worlds of three services side by side. SIGTERM ends it after the seeds that are
under way, and the same command goes on. The exit code is 1 when anything was wrong.

A seed decides what is done to which service and when, whether the job is cancelled, and whether it
makes desktops or removes them. Services run on from seed to seed; who has been killed, or was
away for so long that the others took it for dead, is started again.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import ssl
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes.takeover_proof import Proof
from live.network import Place, network, why_not
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
SERVICES = 3
ALL = 100

END_SECONDS = 180.0
"""Within this after the last blow a job must have ended, however busy the machine is."""

RETURN_SECONDS = 60.0
"""Within this after its return a service must beat again or have ended."""

_FIRST_PLACE = 101
_HANDS = 8
"""Blows, those who time takeovers, and a cancel."""

_LONGEST = 1.6 * SILENT_SECONDS


Later: TypeAlias = Callable[..., None]
"""Has it done by another thread."""


class Kind(Enum):
    KILL = "killed"
    PAUSE = "paused"
    CUT = "cut off"


@dataclass(frozen=True)
class Blow:
    """To the service that runs the job, or to one by its number; it is away so many seconds.

    ``at`` is a share of the time that such a job takes undisturbed.
    """

    at: float
    kind: Kind
    victim: int | None
    seconds: float


@dataclass(frozen=True)
class Plan:
    seed: int
    action: JobAction
    blows: tuple[Blow, ...]
    cancel_at: float | None


def draw(seed: int, count: int = SERVICES) -> Plan:
    """What a seed stands for."""
    dice = random.Random(seed)
    action = dice.choice([JobAction.CREATE, JobAction.CREATE, JobAction.DELETE])
    blows = tuple(
        Blow(
            dice.uniform(0, 1),
            kind := dice.choice(list(Kind)),
            None if dice.random() < 0.7 else dice.randrange(count),
            dice.uniform(0, 4) if kind is Kind.KILL else dice.uniform(1, _LONGEST),
        )
        for _ in range(dice.choice([1, 1, 2, 3]))
    )
    cancelled = action is JobAction.CREATE and dice.random() < 0.25
    return Plan(seed, action, blows, dice.uniform(0, 1) if cancelled else None)


@dataclass
class Found:
    """What came of a seed."""

    plan: Plan
    state: str = ""
    seconds: float = 0.0
    blows: list[tuple[float, str]] = field(default_factory=list)
    takeovers: list[str] = field(default_factory=list)
    cancelled: str = ""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [
            f"{self.plan.seed:4} {self.plan.action.name.lower()}",
            ", ".join(words for _, words in sorted(self.blows)),
            self.cancelled,
            ", ".join(self.takeovers),
            f"{self.state}, {self.seconds:.0f} s in all",
            "; ".join(self.wrong) or "well",
        ]
        return "; ".join(part for part in parts if part)


class World:
    """Services that go on from seed to seed, with ``count`` desktops a job."""

    image = "image:tiny"

    def __init__(self, world: Services, count: int, end_seconds: float = END_SECONDS) -> None:
        self.services = world
        self.count = count
        self.seconds: dict[JobAction, float] = {}
        """What a job takes undisturbed."""
        self._end_seconds = end_seconds
        self._balancer = Balancer(self._targets())
        self._striking = [threading.Lock() for _ in world.members]
        self._since = [time.monotonic() for _ in world.members]
        """Since when a service is undisturbed; infinite while it is not."""
        self._full: list[str] = []
        """Collections with all their desktops, for jobs that remove them."""

    def measure(self) -> None:
        """How long undisturbed jobs take here."""
        self.create_collection("measured")
        for action in (JobAction.CREATE, JobAction.DELETE):
            begun = time.monotonic()
            self.await_end(self.execute("measured", action))
            self.seconds[action] = time.monotonic() - begun

    def run(self, seed: int) -> Found:
        """Its job from begin to end, and what is wrong then."""
        found = Found(self.plan(seed))
        self._complete()
        alias = self._prepare(found.plan)
        begun = time.monotonic()
        guid = self.execute(alias, found.plan.action)
        try:
            self._disturb(guid, found)
            self.await_end(guid)
            found.seconds = time.monotonic() - begun
            self._judge(alias, guid, found)
        except AssertionError as error:
            found.wrong.append(str(error))
        return found

    def plan(self, seed: int) -> Plan:
        """What it stands for here."""
        return draw(seed, len(self.services.members))

    def close(self) -> None:
        self._balancer.close()

    def _complete(self) -> None:
        """All services are there, and whoever was cut off has found the database again."""
        for member in self.services.members:
            if not member.is_running:
                member.wait_until_fenced()
                self._start_again(member)
            until("it is ready", partial(_is_ready, member), 180)

    def _prepare(self, plan: Plan) -> str:
        """The alias of a collection for its job."""
        if plan.action is JobAction.DELETE and self._full:
            return self._full.pop()
        alias = f"p{plan.seed}"
        self.create_collection(alias)
        if plan.action is JobAction.DELETE:
            self.await_end(self.execute(alias, JobAction.CREATE))
        return alias

    def _disturb(self, guid: str, found: Found) -> None:
        """All that is planned, until all of it is over and the job has ended."""
        plan = found.plan
        seconds = self.seconds[plan.action]
        with ThreadPoolExecutor(_HANDS) as hands:
            done: list[Future[None]] = []  # it grows meanwhile
            later: Later = lambda *work: done.append(hands.submit(*work))  # noqa: E731
            for blow in plan.blows:
                later(self._strike, blow, guid, found, later)
            if plan.cancel_at is not None:
                found.cancelled = f"cancelled at {plan.cancel_at * seconds:.1f} s"
                later(self._cancel, plan.cancel_at * seconds, guid)
            for each in done:
                each.result()

    def _targets(self) -> list[tuple[str, int]]:
        urls = (urlsplit(one.ready["wsman_https"]) for one in self.services.members)
        return [(str(url.hostname), int(url.port or 0)) for url in urls]

    def _start_again(self, victim: Member) -> None:
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
            base_vm_location=self.image,
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

    def _strike(self, blow: Blow, guid: str, found: Found, later: Later) -> None:
        at = blow.at * self.seconds[found.plan.action]
        time.sleep(at)
        owner = self.services.owner(guid)
        victim = owner if blow.victim is None else self.services.members[blow.victim]
        if victim is None:
            return  # its service is dead, and nobody else has taken it yet
        number = self.services.members.index(victim)
        with self._striking[number]:
            if not victim.is_running:
                return
            owner = self.services.owner(guid)  # another blow may have been waited for
            whose = "its service" if victim is owner else "another"
            words = f"{whose} {blow.kind.value} at {at:.1f} s for {blow.seconds:.1f} s"
            if blow.kind is Kind.CUT and victim.place is None:
                found.blows.append((at, f"{whose} not cut off: {why_not()}"))
                return
            self._since[number] = float("inf")
            over = threading.Event()
            if victim is owner:
                later(self._time_takeover, guid, blow.kind, over, found)
            fenced = self._carry_out(blow, victim, found)
            self._since[number] = time.monotonic()
            if blow.kind is not Kind.KILL and not fenced:
                over.set()
            found.blows.append((at, f"{words} and fenced" if fenced else words))

    def _carry_out(self, blow: Blow, victim: Member, found: Found) -> bool:
        """Whether it was taken for dead, though it was not; it runs again in any case."""
        if blow.kind is Kind.KILL:
            victim.kill()
            time.sleep(blow.seconds)
            self._start_again(victim)
            return False
        if blow.kind is Kind.PAUSE:
            victim.signal(signal.SIGSTOP)
            back = partial(victim.signal, signal.SIGCONT)
        else:
            assert victim.place
            victim.place.cut_off()
            back = victim.place.connect_again
        ended = self._await_return(victim, blow, back, found)
        if ended:
            victim.wait_until_fenced()
            self._start_again(victim)
        if ended and blow.seconds < SILENT_SECONDS / 2:
            found.wrong.append(f"it was fenced after {blow.seconds:.1f} s")
        return ended

    def _await_return(
        self, victim: Member, blow: Blow, back: Callable[[], None], found: Found
    ) -> bool:
        """Let it come back when its time has come; whether it ends then, or else beats again.

        Cut off, it reaches its hosts all the time: once it is fenced it may begin nothing there.
        """
        begun, returned = time.monotonic(), 0.0
        allowed: set[str] | None = None
        while victim.is_running:
            away = time.monotonic() - begun
            if not returned and away >= blow.seconds:
                back()
                returned = time.monotonic()
            fenced, age = self._look_at(victim)
            if fenced and blow.kind is Kind.CUT:
                under_way = self.list_begun(victim)
                allowed = under_way if allowed is None else allowed
                found.wrong += [f"begun after it was fenced: {one}" for one in under_way - allowed]
                allowed |= under_way
            if returned and not fenced and age < time.monotonic() - returned:
                return False
            assert away < blow.seconds + RETURN_SECONDS, "it neither beats nor ends"
            time.sleep(0.05)
        return True

    def _look_at(self, victim: Member) -> tuple[bool, float]:
        """Whether it is fenced, and seconds since its last beat."""
        query = """SELECT fenced, extract(epoch FROM clock_timestamp() - beat)::float
                   FROM members WHERE id = %s"""
        [(fenced, age)] = self.services.read(query, victim.ready["service"])
        return fenced, age

    def list_begun(self, victim: Member) -> set[str]:
        """What it has under way on hosts."""
        caller = f"{victim.ready['pid']}@%"
        query = "SELECT kind, vm, attempt FROM operations WHERE caller LIKE ?"
        with self._truth() as truth:
            return {f"{kind} {vm} {n}" for kind, vm, n in truth.execute(query, (caller,))}

    def _time_takeover(self, guid: str, kind: Kind, over: threading.Event, found: Found) -> None:
        """Until another one has the job, or it has ended, or its service goes on. Who is quick to
        judge has beaten for some time, and is not disturbed until then.
        """
        begun = time.monotonic()
        steady = [since for since in self._since if since < begun - SILENT_SECONDS - 1]
        before, ended = self._owner(guid)
        now = before
        while now == before and not ended and not over.wait(0.05):
            now, ended = self._owner(guid)
        if now == before:
            return
        after = f"{time.monotonic() - begun:.1f} s after its"
        words = f"taken over {after} {'death' if kind is Kind.KILL else 'silence'}"
        if not set(steady) & set(self._since):
            words += " (nobody could judge before)"
        found.takeovers.append(words)

    def _owner(self, guid: str) -> tuple[str, bool]:
        [row] = self.services.read(
            "SELECT service, ended IS NOT NULL FROM jobs WHERE guid=%s", guid
        )
        return row[0], row[1]

    def _ended(self, guid: str) -> bool:
        return self._owner(guid)[1]

    def await_end(self, guid: str) -> None:
        """Until the job has ended."""
        until(f"job {guid} has ended", lambda: self._ended(guid), self._end_seconds)

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
        vms, twice = self.look(alias)
        orphans = [one for one in self.services.find_orphans() if alias in str(one)]
        checks = {
            f"ended in {found.state}": not cancelled and state != completed,
            "completed although it was cancelled": cancelled and state == completed,
            f"{records} records, not {expected}": records != expected,
            f"{len(vms)} VMs, not {expected}": len(vms) != expected,
            f"done twice: {twice}": bool(twice),
            f"orphans: {orphans}": bool(orphans),
        }
        found.wrong += [words for words, wrong in checks.items() if wrong]
        if expected and not found.wrong:
            self._full.append(alias)

    def look(self, alias: str) -> tuple[list[str], list[str]]:
        """VMs of the collection there are, and what was done to one of them more than once."""
        pattern = (f"{alias}-%",)
        twice = "SELECT kind || ' ' || vm FROM attempts WHERE vm LIKE ? AND done > 1"
        with self._truth() as truth:
            vms = truth.execute("SELECT name FROM vms WHERE name LIKE ?", pattern).fetchall()
            done = truth.execute(twice, pattern).fetchall()
        return [name for (name,) in vms], [what for (what,) in done]

    @contextmanager
    def _truth(self) -> Iterator[sqlite3.Connection]:
        file = self.services.simulator / "state.sqlite"
        with closing(sqlite3.connect(file, timeout=60)) as truth:
            yield truth


def _is_ready(member: Member) -> bool:
    insecure = ssl._create_unverified_context()
    url = f"{member.ready['web']}readyz"
    try:
        with urllib.request.urlopen(url, context=insecure, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def surroundings(worlds: int = 1) -> Iterator[tuple[PostgreSql, list[Sequence[Place]]]]:
    """A PostgreSQL, and places of services for so many worlds; none where none can be made."""
    with ExitStack() as stack:
        if why_not():
            postgresql = PostgreSql()
            places: list[Sequence[Place]] = [()] * worlds
        else:
            net = stack.enter_context(network())
            postgresql = PostgreSql(address=net.address)
            numbers = range(_FIRST_PLACE, _FIRST_PLACE + worlds * SERVICES)
            every = [net.place(number) for number in numbers]
            places = [every[world::worlds] for world in range(worlds)]
        stack.callback(postgresql.clear)
        postgresql.start()
        yield postgresql, places


@contextmanager
def world(
    directory: Path, postgresql: PostgreSql, count: int, places: Sequence[Place]
) -> Iterator[World]:
    """Three services, of which nobody may judge the others in the first seconds."""
    with services(directory, postgresql, SPEED, SERVICES, places) as started:
        made = World(started, count)
        try:
            made.measure()
            yield made
        finally:
            made.close()


def keep(proof: Proof, worlds: int, stop: threading.Event) -> None:
    """Run the seeds that the proof lacks, until all are there or somebody wants it to stop."""
    missing = iter(proof.missing)
    taking, starting = threading.Lock(), threading.Lock()

    def work(directory: Path, postgresql: PostgreSql, places: Sequence[Place]) -> None:
        with ExitStack() as stack:
            with starting:  # all at once they would be too slow
                made = stack.enter_context(world(directory, postgresql, proof.count, places))
            while not stop.is_set():
                with taking:
                    seed = next(missing, None)
                if seed is None:
                    return
                found = made.run(seed)
                print(found, flush=True)
                proof.add(seed, str(found))

    with (
        tempfile.TemporaryDirectory(prefix="takeovers-") as directory,
        surroundings(worlds) as (postgresql, places),
        ThreadPoolExecutor(worlds) as hands,
    ):
        done = [
            hands.submit(work, Path(directory, str(number)), postgresql, mine)
            for number, mine in enumerate(places)
        ]
        for each in done:
            each.result()


def open_proof(file: Path, count: int) -> Proof:
    """Of all seeds."""
    return Proof(file, count, {seed: draw(seed) for seed in range(1, ALL + 1)})


def main() -> None:
    file, count, worlds = Path(sys.argv[1]), *map(int, sys.argv[2:])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    proof = open_proof(file, count)
    keep(proof, worlds, stop)
    print(proof.summary)
    sys.exit(0 if proof.is_well else 1)


if __name__ == "__main__":
    main()
