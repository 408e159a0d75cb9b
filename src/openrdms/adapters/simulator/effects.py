"""What each operation writes once its time has passed, whole or half, from its record alone,
and what its host tells of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from enum import Enum
from typing import Any

from openrdms.adapters.simulator import moves, vms
from openrdms.model.host import VmEvent, VmEventKind

Operation = sqlite3.Row | dict[str, Any]
"""A row of ``operations``."""

News = list[tuple[float, VmEvent]]
"""What will have happened, and when."""

USERS = ("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy")


class Outcome(Enum):
    """How an operation ended. Half done is what a killed caller, or a failed clone, may leave."""

    NOT_DONE = 0
    DONE = 1
    HALF_DONE = 2


def user_name(ordinal: int) -> str:
    """The same people log on to every guest; from the eleventh on they have numbers."""
    return USERS[ordinal - 1] if ordinal <= len(USERS) else f"user{ordinal}"


def apply(db: sqlite3.Connection, operation: Operation, outcome: Outcome) -> News:
    """Write the effect of an operation."""
    effect = _EFFECTS.get(operation["kind"])
    if effect is None or outcome is Outcome.NOT_DONE:
        return []
    return effect(db, operation, outcome)


def _clone(db: sqlite3.Connection, operation: Operation, outcome: Outcome) -> News:
    half = outcome is Outcome.HALF_DONE
    disk = {"host": operation["host"], "vm": operation["vm"], "partial": half}
    disk |= json.loads(operation["args"])
    db.execute(
        """INSERT INTO disks
           (host, vm, generation, name, image, virtual_bytes, hostname, partial) VALUES
           (:host, :vm, :generation, :name, :image, :virtual_bytes, :hostname, :partial)
           ON CONFLICT DO UPDATE SET
               image = excluded.image, virtual_bytes = excluded.virtual_bytes,
               hostname = excluded.hostname, partial = excluded.partial,
               machine_id = '', guest_mac = ''""",
        disk,
    )
    return []


def _start(db: sqlite3.Connection, operation: Operation, outcome: Outcome) -> News:
    half = outcome is Outcome.HALF_DONE
    args = json.loads(operation["args"])
    answers = not half and args["boot_s"] is not None
    agent_at = operation["ends"] + args["boot_s"] if answers else None
    vm = (operation["host"], operation["vm"])
    db.execute(
        """UPDATE vms SET started_at = ?, agent_at = ?, paused = ?, held_at = NULL
           WHERE host = ? AND name = ?""",
        (operation["ends"], agent_at, half, *vm),
    )
    news = [] if half else _news(operation, operation["ends"], VmEventKind.STARTED)
    if agent_at is not None:
        news += _news(operation, agent_at, VmEventKind.AGENT_CONNECTED)
        for ordinal in range(1, args["users"] + 1):
            log_on(db, vm, user_name(ordinal), agent_at)
            news += _news(operation, agent_at, VmEventKind.LOGGED_ON)
    return news


def _stop(db: sqlite3.Connection, operation: Operation, outcome: Outcome) -> News:
    half = outcome is Outcome.HALF_DONE
    vm = (operation["host"], operation["vm"])
    news = _disconnect(operation)
    if vms.end_sessions(db, *vm, operation["ends"]):
        news += _news(operation, operation["ends"], VmEventKind.LOGGED_OFF)
    db.execute(
        """UPDATE vms SET started_at = iif(?, started_at, NULL), agent_at = NULL, paused = ?,
                          held_at = NULL
           WHERE host = ? AND name = ?""",
        (half, half, *vm),
    )
    return news if half else news + _news(operation, operation["ends"], VmEventKind.STOPPED)


def _save(db: sqlite3.Connection, operation: Operation, outcome: Outcome) -> News:
    """Half done it is paused: its memory was being written."""
    row = vms.get(db, operation["host"], operation["vm"])
    saved = outcome is Outcome.DONE
    news = _disconnect(operation) if saved else []
    vms.hold(db, row, operation["ends"], saved=saved)
    return news + _news(operation, operation["ends"], VmEventKind.STOPPED) if saved else news


def _restore(db: sqlite3.Connection, operation: Operation, outcome: Outcome) -> News:
    """Half done it is saved still: what was being read is on disk."""
    if outcome is not Outcome.DONE:
        return []
    row = vms.get(db, operation["host"], operation["vm"])
    agent_at = vms.let_go(db, row, operation["ends"], json.loads(operation["args"])["agent_s"])
    news = _news(operation, operation["ends"], VmEventKind.STARTED)
    if agent_at is not None:
        news += _news(operation, agent_at, VmEventKind.AGENT_CONNECTED)
    return news + to_come(db, operation["host"], operation["ends"], operation["vm"])


def _migrate(db: sqlite3.Connection, operation: Operation, outcome: Outcome) -> News:
    """Nobody is told: nothing happened to the VM. Half done it goes on where it was."""
    if outcome is Outcome.DONE:
        target = json.loads(operation["args"])["target"]
        moves.move(db, operation["host"], operation["vm"], target)
    return []


# An export changes nothing in the cluster: its caller writes the file.
_EFFECTS: dict[str, Callable[[sqlite3.Connection, Operation, Outcome], News]] = {
    "clone": _clone,
    "start": _start,
    "stop": _stop,
    "save": _save,
    "restore": _restore,
    "migrate": _migrate,
}


def _disconnect(operation: Operation) -> News:
    """Its agent goes, if it had answered."""
    agent_at = json.loads(operation["args"])["agent_at"]
    if agent_at is None or agent_at > operation["ends"]:
        return []
    return _news(operation, operation["ends"], VmEventKind.AGENT_DISCONNECTED)


def _news(operation: Operation, due: float, kind: VmEventKind) -> News:
    return [(due, VmEvent(kind, operation["host"], operation["vm"]))]


def to_come(db: sqlite3.Connection, host: str, now: float, vm: str | None = None) -> News:
    """Agents on that host (in that VM) that have yet to answer and users yet to log on."""
    rows = db.execute(
        f"""SELECT agent_at AS due, '{VmEventKind.AGENT_CONNECTED}' AS kind, name FROM vms
            WHERE host = :host AND agent_at > :now AND (:vm IS NULL OR name = :vm)
            UNION ALL SELECT since, '{VmEventKind.LOGGED_ON}', vm FROM sessions
            WHERE host = :host AND since > :now AND (:vm IS NULL OR vm = :vm)""",  # noqa: S608
        {"host": host, "now": now, "vm": vm},
    )
    return [(row["due"], VmEvent(VmEventKind(row["kind"]), host, row["name"])) for row in rows]


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
