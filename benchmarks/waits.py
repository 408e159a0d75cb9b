"""What PostgreSQL says of itself while services work: who waits for what, and what it has done."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.deployment import Deployment
from live.service import until

_WRITER = 0x52444D53
"""The advisory lock of who writes (adapters/sql/dialects)."""

_LOOK_SECONDS = 0.02

_PERIOD_US = 20_000
"""The kernel gives a group its share of each such time."""

_WRITERS = """
    SELECT granted, state, wait_event_type FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND objsubid = 1 AND classid = 0 AND objid = %s"""

_COUNTS = """
    SELECT xact_commit, (SELECT wal_sync FROM pg_stat_wal), (SELECT wal_bytes FROM pg_stat_wal)
    FROM pg_stat_database WHERE datname = current_database()"""

_STATEMENTS = """
    SELECT calls, total_exec_time / 1000, regexp_replace(query, '\\s+', ' ', 'g')
    FROM pg_stat_statements JOIN pg_database ON pg_database.oid = dbid
    WHERE datname = current_database() ORDER BY total_exec_time DESC LIMIT %s"""


class Turn(StrEnum):
    """Whose turn it is in the transaction that writes, of which there is one at a time."""

    NOBODY = "nobody writes"
    SERVICE = "the service"
    DISK = "the disk"
    POSTGRESQL = "PostgreSQL"


@dataclass
class Seen:
    """Looks by whose turn it was, and at how many who waited to write."""

    turns: Counter[Turn] = field(default_factory=Counter)
    waiting: int = 0

    def share(self, *turns: Turn) -> float:
        """Of the looks."""
        return sum(self.turns[turn] for turn in turns) / max(1, self.turns.total())

    @property
    def in_line(self) -> float:
        """Writers that waited for another one, at a look."""
        return self.waiting / max(1, self.turns.total())


@contextmanager
def watched(deployment: Deployment) -> Iterator[Seen]:
    """What is seen while the block runs."""
    seen, ended = Seen(), threading.Event()
    with deployment.watch() as connection:

        def look() -> None:
            while not ended.wait(_LOOK_SECONDS):
                _note(seen, connection.execute(_WRITERS, (_WRITER,)).fetchall())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()


def _note(seen: Seen, rows: list[tuple[Any, ...]]) -> None:
    holders = [row for row in rows if row[0]]
    seen.waiting += len(rows) - len(holders)
    seen.turns[_turn(*holders[0][1:]) if holders else Turn.NOBODY] += 1


def _turn(state: str, wait: str | None) -> Turn:
    if state != "active" or wait == "Client":
        return Turn.SERVICE
    return Turn.DISK if wait in ("IO", "LWLock", "IPC") else Turn.POSTGRESQL


@dataclass(frozen=True)
class Counts:
    """What PostgreSQL has counted: commits, waits for the disk, octets of its log."""

    commits: int
    syncs: int
    octets: int

    @classmethod
    def read(cls, connection: psycopg.Connection[Any]) -> Counts:
        """Until now."""
        [(commits, syncs, octets)] = connection.execute(_COUNTS).fetchall()
        return cls(commits, syncs, int(octets))

    def since(self, other: Counts) -> Counts:
        """What came after the other."""
        return Counts(
            self.commits - other.commits, self.syncs - other.syncs, self.octets - other.octets
        )


def reset_statements(connection: psycopg.Connection[Any]) -> None:
    """Begin to count statements."""
    connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    connection.execute("SELECT pg_stat_statements_reset()")


def read_statements(connection: psycopg.Connection[Any], most: int) -> list[tuple[int, float, str]]:
    """The dearest since then: calls, seconds in the server, text."""
    return connection.execute(_STATEMENTS, (most,)).fetchall()


@contextmanager
def limited(deployment: Deployment, share: float) -> Iterator[None]:
    """PostgreSQL has no more than that share of one processor; who measures is not in it.

    By the kernel's control groups of version 1, as root.
    """
    everybody = Path("/sys/fs/cgroup/cpu")
    group = everybody / f"openrdms-bench-{deployment.postgresql.pid}"
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(round(share * _PERIOD_US)))
        _move(deployment.backends(), group)
        yield
    finally:
        while pids := (group / "cgroup.procs").read_text().split():
            _move(map(int, pids), everybody)
        until("the group is empty", lambda: _is_removed(group))


def _move(pids: Iterable[int], group: Path) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it has just ended
            (group / "cgroup.procs").write_text(str(pid))


def _is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:  # who is about to end is in it for a moment more
        return False
    return True
