"""The cluster's truth for people and tests, read without the service and past its records."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from openrdms.adapters.simulator import vms
from openrdms.adapters.simulator.clock import processes
from openrdms.adapters.simulator.guest import read_typed
from openrdms.adapters.simulator.operations import settle
from openrdms.adapters.simulator.state import snapshot

_Grouped = dict[tuple[str, ...], list[sqlite3.Row]]


def read_state(path: Path) -> dict[str, Any]:
    """All hosts in the state directory ``path``, at one moment; nothing is changed. NotFound.

    ``{"hosts": [{"name", "disks", "vms": [{"name", "state", "disks", "typed", "sessions": [{"id",
    "user", "messages": [{"title", "text"}]}]}]}]}``; a host's disks are all its files but images,
    half made ones too; ``state`` is running, stopped, paused or saved; ``typed`` is what was at
    its screen since it boots.
    """
    db = snapshot(path)
    try:
        settle(db, processes())
        return _render(db)
    finally:
        db.close()


def _render(db: sqlite3.Connection) -> dict[str, Any]:
    disks = _group(db, "SELECT host, name FROM disks ORDER BY vm, name", "host")
    machines = _group(db, "SELECT * FROM vms ORDER BY name", "host")
    sessions = _group(
        db,
        f"SELECT * FROM sessions WHERE since <= {time.time()!r} ORDER BY guest_id",  # noqa: S608
        "host",
        "vm",
    )
    messages = _group(db, "SELECT * FROM messages ORDER BY id", "host", "vm", "guest_id")

    def session(row: sqlite3.Row) -> dict[str, Any]:
        shown = messages[row["host"], row["vm"], row["guest_id"]]
        return {
            "id": str(row["guest_id"]),
            "user": row["user"],
            "messages": [{"title": m["title"], "text": m["text"]} for m in shown],
        }

    def machine(row: sqlite3.Row) -> dict[str, Any]:
        return {
            "name": row["name"],
            "state": vms.state(row).name.lower(),
            "disks": [row["disk"]],
            "typed": read_typed(db, row),
            "sessions": [session(one) for one in sessions[row["host"], row["name"]]],
        }

    return {
        "hosts": [
            {
                "name": name,
                "disks": [disk["name"] for disk in disks[(name,)]],
                "vms": [machine(row) for row in machines[(name,)]],
            }
            for (name,) in db.execute("SELECT name FROM hosts ORDER BY ordinal")
        ]
    }


def _group(db: sqlite3.Connection, query: str, *columns: str) -> _Grouped:
    groups: _Grouped = defaultdict(list)
    for row in db.execute(query):
        groups[tuple(row[column] for column in columns)].append(row)
    return groups
