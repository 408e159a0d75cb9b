"""VMs that go from one simulated host to another, with all there is of them."""

from __future__ import annotations

import sqlite3

from openrdms.adapters.simulator import vms
from openrdms.model.errors import AlreadyExists, InvalidOperation, NotFound, OutOfSpace
from openrdms.model.host import VmState

_TABLES = ("vms", "disks", "sessions", "messages", "typed")


def check(db: sqlite3.Connection, row: sqlite3.Row, target: str, capacity: int) -> None:
    """Whether that VM may go there."""
    name = row["name"]
    if vms.ownership(row) is None:
        raise InvalidOperation(f"{name} on {row['host']} is not a VM of ours")
    if vms.state(row) is VmState.SAVED:
        raise InvalidOperation(f"{name} is saved: it must be started first")
    if vms.find(db, target, name):
        raise AlreadyExists(f"{target} has another VM called {name}")
    if not vms.has_room(db, target, capacity):
        raise OutOfSpace(f"{target} is full: it holds {capacity} desktops")


def get_one(db: sqlite3.Connection, host: str, target: str, vm: str) -> None:
    """NotFound when it is at neither."""
    if vms.find(db, host, vm) is None and vms.find(db, target, vm) is None:
        raise NotFound(f"neither {host} nor {target} has a VM {vm}")


def move(db: sqlite3.Connection, host: str, vm: str, target: str) -> None:
    """Rows are copied and removed, since hosts count those of disks that come and go."""
    db.execute("PRAGMA defer_foreign_keys = ON")
    for table in _TABLES:
        name = "name" if table == "vms" else "vm"
        columns = [row["name"] for row in db.execute(f"PRAGMA table_info({table})")]
        kept = ", ".join(column for column in columns if column not in ("host", "id"))
        where = f"FROM {table} WHERE host = :host AND {name} = :vm"
        values = {"host": host, "vm": vm, "target": target}
        db.execute(
            f"INSERT INTO {table} (host, {kept}) SELECT :target, {kept} {where}",
            values,
        )
        if table != "sessions":  # they take their messages along when they go
            db.execute(f"DELETE {where}", values)
    db.execute("DELETE FROM sessions WHERE host = ? AND vm = ?", (host, vm))
