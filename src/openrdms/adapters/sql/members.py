"""Services that share a database on PostgreSQL: their beats, their fence, their locks.

Who lives holds a session lock named by its id, which the server frees within milliseconds when the
process dies, and renews a time. So a death is known at once by a lock that goes while beats are
fresh, and a pause or a cut by their growing old.
"""

from __future__ import annotations

import select
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

import psycopg
import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.dialects import application_name
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.member import Member

DEAD_SECONDS = 1.5
"""Age of the last beat of one whose lock has gone while its beats were no older than that."""

SILENT_SECONDS = 10.0
"""Age of the last beat of any other who is taken for dead: paused, or cut off. Nobody judges unless
he has beaten on one connection that long without a gap: after a pause or a restart of the server
everybody's beats are old, and no lock is held.
"""

_LOOK_SECONDS, _LOOKS = 0.5, 10
"""After so many looks at one beat that is not answered the database is taken for away."""

_members, _jobs, _duties = schema.members, schema.jobs, schema.duties

_Keys: TypeAlias = tuple[int, int]

_LOCKS = 0x4D454D42
"""First key of the session locks of ``exclusive``; those of members have one key, their id."""

_BEAT = """
    WITH beaten AS (
        UPDATE members SET beat = clock_timestamp() WHERE id = %(me)s AND NOT fenced RETURNING id)
    SELECT id, extract(epoch FROM clock_timestamp() - beat)::float,
      CASE WHEN id <> %(me)s THEN id IN (
        SELECT lpad(to_hex(classid::bigint), 8, '0') || lpad(to_hex(objid::bigint), 8, '0')
        FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        ) END, fenced, EXISTS (SELECT FROM beaten)
    FROM members WHERE id = %(me)s OR NOT (fenced AND taken)"""
"""And a look at the others, in the same trip: an idle service does hardly anything else."""
_DISCONNECT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"

_FENCED = sa.select(_members.c.fenced).where(_members.c.id == sa.bindparam("me"))
_UNTAKEN = (
    sa.select(_members.c.id).where(_members.c.fenced, ~_members.c.taken).order_by(_members.c.number)
)
_OWNER = sa.select(_members.c.fenced, _jobs.c.service).where(
    _members.c.id == sa.bindparam("me"), _jobs.c.guid == sa.bindparam("job")
)


class SqlMembers:
    """ports.MemberStore on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self.me = database.service
        self._database = database
        self._beating = _Session(database.connect)
        self._locking = _Session(database.connect)
        self._beaten = self._steady = 0.0
        """When it beat last, and since when without a gap, by the monotonic clock."""
        self._begun = self._answered = 0
        """How many beats were sent, and how many of them are over."""
        self._closed = threading.Event()
        self._judging = threading.Lock()
        self._ages: dict[str, float] = {}
        """Of the beats of the others that are not fenced, when it beat last."""
        self._dying: set[str] = set()
        """Whose lock went while their beats were fresh."""
        self.sees_untaken = False

    def join(self, name: str, address: str, version: str, before: str = "") -> None:
        """See ports.MemberStore."""
        self._hold_lock()
        now = sa.func.clock_timestamp()
        values = {"id": self.me, "name": name, "address": address, "version": version}
        with self._database.write() as connection:
            row = {**values, "began": now, "beat": now, "fenced": False, "taken": False}
            connection.execute(sa.insert(_members).values(row))
            ended = sa.update(_members).where(_members.c.id == before)
            connection.execute(ended.values(died=True))
            note_change(connection, Kind.MEMBER, self.me)
        threading.Thread(target=self._watch_answers, name="beat-answers", daemon=True).start()

    def _watch_answers(self) -> None:
        """A server that hangs is away as well; its silence is counted in looks, so that a time in
        which this very process stood still is none.
        """
        looks, seen = 0, 0
        while not self._closed.wait(_LOOK_SECONDS):
            waits = self._begun == seen != self._answered
            looks, seen = (looks + 1 if waits else 0), self._begun
            if looks == _LOOKS:
                self._database.give_up("it has not answered to a beat for some seconds")

    def beat(self) -> None:
        """See ports.MemberStore. It waits for no writer."""
        self._begun += 1
        try:
            self._beat()
        finally:
            self._answered = self._begun

    def _beat(self) -> None:
        self._hold_lock()
        with self._beating as connection:
            seen = connection.execute(_BEAT, {"me": self.me}).fetchall()
        if not any(has_beaten for *_, has_beaten in seen):
            self._database.end_fenced("the other services have taken this one for dead")
        now = time.monotonic()
        if now - self._beaten > DEAD_SECONDS:
            self._steady = now
        self._beaten = now
        self._note([(one, *what) for one, *what, _ in seen if one != self.me])

    def _note(self, others: list[tuple[Any, ...]]) -> None:
        """Their ids, the ages of their beats, whether they hold their locks, and are fenced."""
        live = [(one, age, is_held) for one, age, is_held, is_fenced in others if not is_fenced]
        with self._judging:
            self.sees_untaken = len(live) < len(others)
            self._ages = {one: age for one, age, _ in live}
            self._dying -= {one for one, _, is_held in live if is_held}
            self._dying |= {one for one, age, held in live if not held and age <= DEAD_SECONDS}

    @property
    def _may_judge(self) -> bool:
        now = time.monotonic()
        return now - self._beaten <= DEAD_SECONDS and now - self._steady >= SILENT_SECONDS

    def _hold_lock(self) -> None:
        """Of this member, again when its connection was lost."""
        if self._beating.marked:
            return
        self._steady = time.monotonic()
        with self._beating as connection:
            key = int.from_bytes(bytes.fromhex(self.me), "big", signed=True)
            taken = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
            self._beating.marked = bool(taken and taken[0])

    def list_live(self) -> list[Member]:
        """See ports.MemberStore."""
        with self._database.read() as connection:
            order = [_members.c.number]
            return rows.select_records(
                connection, Member, _members, sa.not_(_members.c.fenced), order=order
            )

    def fence_silent(self) -> list[str]:
        """See ports.MemberStore. By what was seen with the last beat."""
        if self._locking.held:
            with self._locking:  # which takes them again when its connection was lost
                pass
        with self._judging:
            ages, dying = self._ages, {*self._dying}
        if not self._may_judge:
            return []
        limits = {member: DEAD_SECONDS if member in dying else SILENT_SECONDS for member in ages}
        dead = [member for member, age in ages.items() if age > limits[member]]
        return [member for member in dead if self._fence(member, died=member in dying)]

    def _fence(self, member: str, *, died: bool) -> bool:
        """Its connections first: a paused one may be in the middle of writing, and all others
        would wait for it. False when it has beaten meanwhile. Whether its process ``died`` is
        kept: one that is only cut off may show screens yet (``desktop_uses``).
        """
        with self._locking as connection:
            connection.execute(_DISCONNECT, (application_name(member),))
        old = sa.func.clock_timestamp() - _members.c.beat > sa.text(f"interval '{DEAD_SECONDS} s'")
        fence = sa.update(_members).where(_members.c.id == member, ~_members.c.fenced, old)
        proof = {"died": True} if died else {}
        with self._database.write() as connection:
            fenced = connection.execute(fence.values(fenced=True, **proof)).rowcount == 1
            if fenced:
                note_change(connection, Kind.MEMBER, member)
        with self._judging:
            self._dying.discard(member)
        return fenced

    def list_untaken(self) -> list[str]:
        """See ports.MemberStore."""
        return [str(found[0]) for found in self._database.quick.rows(_UNTAKEN)]

    def list_fenced(self, among: Sequence[str]) -> list[str]:
        """See ports.MemberStore."""
        if not among:  # as mostly, every five seconds
            return []
        fenced = sa.select(_members.c.id).where(_members.c.fenced, _members.c.id.in_(among))
        with self._database.read() as connection:
            return list(connection.scalars(fenced))

    def finish_taking(self, member: str) -> None:
        """See ports.MemberStore."""
        with self._database.write() as connection:
            done = sa.update(_members).where(_members.c.id == member, _members.c.fenced)
            connection.execute(done.values(taken=True))

    def check(self, job: str = "") -> None:
        """See ports.MemberStore."""
        parameters = {"me": self.me, "job": job} if job else {"me": self.me}
        found = self._database.quick.rows(_OWNER if job else _FENCED, **parameters)
        if found and found[0][0]:
            self._database.end_fenced("the other services have taken this one for dead")
        if job and (not found or found[0][1] != self.me):
            self._database.end_fenced(f"job {job} is another service's")

    @contextmanager
    def exclusive(self, what: str) -> Iterator[bool]:
        """See ports.MemberStore. The lock goes with the connection, and is taken again with the
        next one, unless another has it by then: work in the block must be safe to do twice.
        """
        keys = (_LOCKS, zlib.crc32(what.encode()) - 2**31)
        with self._locking as connection:
            taken = _try_lock(connection, keys)
            if taken:
                self._locking.held.add(keys)
        try:
            yield taken
        finally:
            if taken:
                self._locking.held.discard(keys)
                with suppress(errors.RecordsUnavailable), self._locking as connection:
                    connection.execute("SELECT pg_advisory_unlock(%s, %s)", keys)

    def hold_duty(self, duty: str) -> bool:
        """See ports.MemberStore."""
        live = sa.select(_members.c.id).where(~_members.c.fenced)
        with self._database.read() as connection:
            holder = connection.scalar(
                sa.select(_duties.c.service).where(
                    _duties.c.name == duty, _duties.c.service.in_(live)
                )
            )
        return holder == self.me if holder else self._take_duty(duty)

    def _take_duty(self, duty: str) -> bool:
        live = sa.select(_members.c.id).where(~_members.c.fenced)
        which = _duties.c.name == duty
        with self._database.write() as connection:
            holder = connection.execute(sa.select(_duties.c.service).where(which)).scalar()
            if holder is None:
                connection.execute(sa.insert(_duties).values(name=duty, service=self.me))
                return True
            mine = sa.update(_duties).where(which, _duties.c.service.not_in(live))
            return connection.execute(mine.values(service=self.me)).rowcount == 1

    def close(self) -> None:
        """See ports.MemberStore."""
        self._closed.set()
        self._beating.close()
        self._locking.close()


def _try_lock(connection: psycopg.Connection[Any], keys: _Keys) -> bool:
    found = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", keys).fetchone()
    return bool(found and found[0])


def _says_something(connection: psycopg.Connection[Any]) -> bool:
    """Unasked: a server that ends a connection does."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


class _Session:
    """A connection for one thread at a time, opened again when it was lost."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None
        self.marked = False
        """Something that is so as long as the connection lives."""
        self.held: set[_Keys] = set()
        """Of locks that one after the other of its connections is to have."""
        self._lost: set[_Keys] = set()
        """Of these the ones that the last connection has not: the one before may have them yet."""

    def __enter__(self) -> psycopg.Connection[Any]:
        self._lock.acquire()
        try:
            if self._connection is not None and _says_something(self._connection):
                self._close()
            if self._connection is None:
                self._connection = self._connect()
                self._lost = set(self.held)
            lost = self._lost & self.held
            self._lost = {keys for keys in lost if not _try_lock(self._connection, keys)}
        except psycopg.Error as error:
            self._close()
            self._lock.release()
            raise errors.RecordsUnavailable(f"records: {error}") from error
        return self._connection

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if isinstance(error, psycopg.Error):
                self._close()
                raise errors.RecordsUnavailable(f"records: {error}") from error
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection, self.marked = None, False
