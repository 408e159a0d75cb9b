"""What happens to a simulated cluster without its service doing it: faults, users, strangers.

Each call works on the state directory, whether a service uses it or not.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

from openrdms.adapters.simulator import effects, vms
from openrdms.adapters.simulator.state import State
from openrdms.model.errors import AlreadyExists, InvalidParameter, NotFound, VmNotRunning
from openrdms.model.host import VmState

HOST_FAULTS = frozenset({"", "down"})
VM_FAULTS = frozenset({"", "silent"})


def set_fault(path: Path, host: str, vm: str = "", fault: str = "") -> None:
    """Give the VM the fault ``silent`` (its agent stops answering), or with no VM named the host
    the fault ``down``; "" mends it. NotFound, InvalidParameter."""
    known = VM_FAULTS if vm else HOST_FAULTS
    if fault not in known:
        raise InvalidParameter("fault", f"{fault!r} is none of {sorted(known)}")
    with _host(path, host) as (db, name):
        if vm:
            vms.get(db, name, vm)
            db.execute("UPDATE vms SET fault = ? WHERE host = ? AND name = ?", (fault, name, vm))
        else:
            db.execute("UPDATE hosts SET fault = ? WHERE name = ?", (fault, name))


def log_on(path: Path, host: str, vm: str, user: str) -> str:
    """Begin a session of ``user``; returns the guest's id of it. NotFound, VmNotRunning."""
    with _host(path, host) as (db, name):
        row = vms.get(db, name, vm)
        if vms.state(row) is not VmState.RUNNING:
            raise VmNotRunning(f"{vm} is not running on {name}")
        return str(effects.log_on(db, (name, row["name"]), user, time.time()))


def add_stranger(path: Path, host: str, name: str, *, running: bool = True) -> None:
    """Make a VM that no service of ours made, with a disk of its own, by default running with
    one user logged on. Its name is ASCII. NotFound, AlreadyExists, InvalidParameter."""
    if not name.isascii():
        raise InvalidParameter("name", f"{name!r} is not ASCII")
    with _host(path, host) as (db, on):
        if vms.find(db, on, name) is not None:
            raise AlreadyExists(f"{on} has a VM {name}")
        uuid = uuid5(NAMESPACE_DNS, f"{name}.{on}")
        mac = ":".join(["52:54:00", *(f"{octet:02x}" for octet in uuid.bytes[:3])])
        started = time.time() if running else None
        db.execute(
            """INSERT INTO vms (host, name, uuid, mac, memory_mib, vcpus, disk,
                                started_at, agent_at)
               VALUES (?, ?, ?, ?, 1024, 2, ?, ?, ?)""",
            (on, name, str(uuid), mac, f"{name}.qcow2", started, started),
        )
        db.execute(
            """INSERT INTO disks (host, vm, name, image, virtual_bytes, hostname, machine_id)
               VALUES (?, ?, ?, '', ?, ?, ?)""",
            (on, name, f"{name}.qcow2", 1 << 30, name, uuid.hex),
        )
        if started is not None:
            effects.log_on(db, (on, name), effects.user_name(1), started)


@contextmanager
def _host(path: Path, host: str) -> Iterator[tuple[sqlite3.Connection, str]]:
    """A transaction, and the host's full name; short names do, whatever their case."""
    state = State(path)
    try:
        with state.transaction() as db:
            row = db.execute(
                "SELECT name FROM hosts WHERE name IN (?, ? || '.sim.local')", (host, host)
            ).fetchone()
            if row is None:
                raise NotFound(f"{path} has no host {host}")
            yield db, row["name"]
    finally:
        state.close()
