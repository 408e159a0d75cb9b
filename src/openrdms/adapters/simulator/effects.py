"""What each operation writes once its time has passed, whole or half, from its record alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from enum import Enum

from openrdms.adapters.simulator import vms

USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")


class Outcome(Enum):
    """How an operation ended. Half done is what a killed caller, or a failed clone, may leave."""

    NOT_DONE = 0
    DONE = 1
    HALF_DONE = 2


def user_name(ordinal: int) -> str:
    """The same people log on to every guest; from the eleventh on they have numbers."""
    return USERS[ordinal - 1] if ordinal <= len(USERS) else f"user{ordinal}"


def apply(db: sqlite3.Connection, operation: sqlite3.Row, outcome: Outcome) -> None:
    """Write the effect of a row of ``operations``."""
    effect = _EFFECTS.get(operation["kind"])
    if effect is not None and outcome is not Outcome.NOT_DONE:
        effect(db, operation, outcome)


def _clone(db: sqlite3.Connection, operation: sqlite3.Row, outcome: Outcome) -> None:
    half = outcome is Outcome.HALF_DONE
    disk = {"host": operation["host"], "vm": operation["vm"], "partial": half}
    disk |= json.loads(operation["args"])
    db.execute(
        """INSERT OR REPLACE INTO disks
           (host, vm, generation, name, image, virtual_bytes, hostname, partial) VALUES
           (:host, :vm, :generation, :name, :image, :virtual_bytes, :hostname, :partial)""",
        disk,
    )


def _start(db: sqlite3.Connection, operation: sqlite3.Row, outcome: Outcome) -> None:
    half = outcome is Outcome.HALF_DONE
    args = json.loads(operation["args"])
    agent_at = None if half else operation["ends"] + args["boot_s"]
    vm = (operation["host"], operation["vm"])
    db.execute(
        """UPDATE vms SET started_at = ?, agent_at = ?, paused = ?, held_at = NULL
           WHERE host = ? AND name = ?""",
        (operation["ends"], agent_at, half, *vm),
    )
    if agent_at is not None:
        for ordinal in range(1, args["users"] + 1):
            log_on(db, vm, user_name(ordinal), agent_at)


def _stop(db: sqlite3.Connection, operation: sqlite3.Row, outcome: Outcome) -> None:
    half = outcome is Outcome.HALF_DONE
    vm = (operation["host"], operation["vm"])
    db.execute(
        """UPDATE vms SET started_at = iif(?, started_at, NULL), agent_at = NULL, paused = ?,
                          held_at = NULL
           WHERE host = ? AND name = ?""",
        (half, half, *vm),
    )
    db.execute("DELETE FROM sessions WHERE host = ? AND vm = ?", vm)


def _save(db: sqlite3.Connection, operation: sqlite3.Row, outcome: Outcome) -> None:
    """Half done it is paused: its memory was being written."""
    row = vms.get(db, operation["host"], operation["vm"])
    vms.hold(db, row, operation["ends"], saved=outcome is Outcome.DONE)


def _restore(db: sqlite3.Connection, operation: sqlite3.Row, outcome: Outcome) -> None:
    """Half done it is saved still: what was being read is on disk."""
    if outcome is Outcome.DONE:
        row = vms.get(db, operation["host"], operation["vm"])
        vms.let_go(db, row, operation["ends"], json.loads(operation["args"])["agent_s"])


# An export changes nothing in the cluster: its caller writes the file.
_EFFECTS: dict[str, Callable[[sqlite3.Connection, sqlite3.Row, Outcome], None]] = {
    "clone": _clone,
    "start": _start,
    "stop": _stop,
    "save": _save,
    "restore": _restore,
}


def log_on(db: sqlite3.Connection, vm: tuple[str, str], user: str, since: float) -> int:
    """Begin a session of ``user`` at ``since`` in the VM (host, name); returns its guest id."""
    (guest_id,) = db.execute(
        "SELECT coalesce(max(guest_id), 0) + 1 FROM sessions WHERE host = ? AND vm = ?", vm
    ).fetchone()
    db.execute(
        "INSERT INTO sessions (host, vm, guest_id, user, since) VALUES (?, ?, ?, ?, ?)",
        (*vm, guest_id, user, since),
    )
    db.execute("UPDATE vms SET logons = logons + 1 WHERE host = ? AND name = ?", vm)
    return int(guest_id)
