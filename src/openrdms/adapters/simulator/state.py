"""The cluster's truth: one SQLite file that outlives whoever uses it.

One file for all hosts: a commit takes well under 0.1 ms without a sync, so hosts do not wait for
each other. ``synchronous=OFF`` because the truth must survive a killed process, not a power cut.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openrdms.model.errors import InvalidParameter, NotFound

_FILE = "state.sqlite"

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS hosts (
        name TEXT COLLATE NOCASE PRIMARY KEY, ordinal INTEGER NOT NULL,
        fault TEXT NOT NULL DEFAULT '', desktops INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
    # collection, job, image and adopted are our metadata: all NULL on a stranger's VM.
    # started_at is NULL when it is off; agent_at is when its agent answers, NULL for never.
    # held_at is since when it is paused or saved in the middle of its life, else NULL.
    """CREATE TABLE IF NOT EXISTS vms (
        host TEXT COLLATE NOCASE, name TEXT COLLATE NOCASE, uuid TEXT NOT NULL, mac TEXT NOT NULL,
        memory_mib INTEGER NOT NULL, vcpus INTEGER NOT NULL, disk TEXT NOT NULL,
        collection TEXT, job TEXT, image TEXT, adopted INTEGER,
        started_at REAL, agent_at REAL, paused INTEGER NOT NULL DEFAULT 0,
        fault TEXT NOT NULL DEFAULT '', saved INTEGER NOT NULL DEFAULT 0, held_at REAL,
        logons INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (host, name)) WITHOUT ROWID""",
    # generation is NULL for a disk that is not ours. The identity is what the guest has on it.
    """CREATE TABLE IF NOT EXISTS disks (
        host TEXT COLLATE NOCASE, vm TEXT COLLATE NOCASE, generation INTEGER,
        name TEXT COLLATE NOCASE NOT NULL,
        image TEXT NOT NULL, virtual_bytes INTEGER NOT NULL, partial INTEGER NOT NULL DEFAULT 0,
        hostname TEXT NOT NULL, machine_id TEXT NOT NULL DEFAULT '',
        guest_mac TEXT NOT NULL DEFAULT '', UNIQUE (host, vm, name))""",
    """CREATE TABLE IF NOT EXISTS sessions (
        host TEXT COLLATE NOCASE, vm TEXT COLLATE NOCASE, guest_id INTEGER, user TEXT NOT NULL,
        state INTEGER NOT NULL DEFAULT 0, since REAL NOT NULL, clipboard TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (host, vm, guest_id)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY, host TEXT COLLATE NOCASE, vm TEXT COLLATE NOCASE,
        guest_id INTEGER NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL,
        FOREIGN KEY (host, vm, guest_id) REFERENCES sessions ON DELETE CASCADE)""",
    # What was typed at a VM's screen since its boot at started_at.
    """CREATE TABLE IF NOT EXISTS typed (
        host TEXT COLLATE NOCASE, vm TEXT COLLATE NOCASE, started_at REAL NOT NULL,
        text TEXT NOT NULL, PRIMARY KEY (host, vm)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS messages_of_session ON messages (host, vm, guest_id)",
    # What is under way: at most one operation a VM.
    """CREATE TABLE IF NOT EXISTS operations (
        host TEXT COLLATE NOCASE, vm TEXT COLLATE NOCASE, kind TEXT NOT NULL,
        attempt INTEGER NOT NULL, seed TEXT NOT NULL, args TEXT NOT NULL,
        caller TEXT NOT NULL, ends REAL NOT NULL, PRIMARY KEY (host, vm)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS attempts (
        host TEXT COLLATE NOCASE, vm TEXT COLLATE NOCASE, kind TEXT, count INTEGER NOT NULL,
        done INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (host, vm, kind)) WITHOUT ROWID""",
    # How much hosts were brought of images other than their own.
    """CREATE TABLE IF NOT EXISTS host_images (
        host TEXT COLLATE NOCASE, image TEXT, pieces INTEGER NOT NULL,
        PRIMARY KEY (host, image)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS image_faults (image TEXT PRIMARY KEY, fault TEXT) WITHOUT ROWID",
    # What users did by the hand of a process other than the service, which reads it here.
    """CREATE TABLE IF NOT EXISTS tidings (
        id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT, vm TEXT, kind TEXT NOT NULL)""",
)


_ADDED = (
    ("vms", "saved", "INTEGER NOT NULL DEFAULT 0"),
    ("vms", "held_at", "REAL"),
    ("vms", "logons", "INTEGER NOT NULL DEFAULT 0"),
    ("hosts", "desktops", "INTEGER NOT NULL DEFAULT 0"),
    ("sessions", "clipboard", "TEXT NOT NULL DEFAULT ''"),
    ("attempts", "done", "INTEGER NOT NULL DEFAULT 0"),
    ("disks", "used", "INTEGER NOT NULL DEFAULT 0"),
)
"""Columns that a state made by an earlier version lacks."""

_COUNTING = (
    "UPDATE hosts SET desktops = (SELECT count(DISTINCT vm) FROM disks WHERE host = hosts.name)",
    """CREATE TRIGGER IF NOT EXISTS first_disk AFTER INSERT ON disks
       WHEN (SELECT count(*) FROM disks WHERE host = NEW.host AND vm = NEW.vm) = 1
       BEGIN UPDATE hosts SET desktops = desktops + 1 WHERE name = NEW.host; END""",
    """CREATE TRIGGER IF NOT EXISTS last_disk AFTER DELETE ON disks
       WHEN NOT EXISTS (SELECT 1 FROM disks WHERE host = OLD.host AND vm = OLD.vm)
       BEGIN UPDATE hosts SET desktops = desktops - 1 WHERE name = OLD.host; END""",
)
"""A host's number of VMs with disks is kept, so that a clone costs the same on a full host."""


def host_name(ordinal: int) -> str:
    """Hosts are host1.sim.local and on."""
    return f"host{ordinal}.sim.local"


class State:
    """The file in ``directory``, opened for one process; safe from any of its threads."""

    def __init__(self, directory: Path, *, create: bool = False) -> None:
        """NotFound when there is no simulator and ``create`` does not ask for one."""
        if not create and not (directory / _FILE).exists():
            raise NotFound(f"{directory} holds no simulator")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._db = _open(directory / _FILE)
        except (OSError, sqlite3.Error) as error:
            raise InvalidParameter("hypervisor", f"{directory}: {error}") from error
        self._lock = threading.RLock()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside happens, or nothing.

        The lock spares threads SQLite's busy waits.
        """
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For who only reads. Who writes in another process is not waited for, and may do so
        between two statements.

        It takes the lock, too: with readers beside it, each by a connection of its own, threads
        fought for the interpreter instead, and a thousand guests' sessions took four times as long
        to list.
        """
        with self._lock:
            yield self._db

    def version(self) -> int:
        """A number that changes when another connection, of whatever process, wrote."""
        with self._lock:
            (version,) = self._db.execute("PRAGMA data_version").fetchone()
        return int(version)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()


def _open(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    for pragma in ("journal_mode=WAL", "synchronous=OFF", "foreign_keys=ON"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        db.execute(statement)
    for table, column, kind in _ADDED:
        if column not in {row["name"] for row in db.execute(f"PRAGMA table_info({table})")}:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'first_disk'").fetchone():
        for statement in _COUNTING:
            db.execute(statement)
    db.execute("COMMIT")
    return db


def snapshot(directory: Path) -> sqlite3.Connection:
    """A copy in memory of the truth at one moment; the file is only read. NotFound without one."""
    file = directory.absolute() / _FILE
    if not file.exists():
        raise NotFound(f"{directory} holds no simulator")
    copy = sqlite3.connect(":memory:", isolation_level=None)
    copy.row_factory = sqlite3.Row
    source = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        source.backup(copy)
    finally:
        source.close()
    return copy
