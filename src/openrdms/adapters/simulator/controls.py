"""What happens to a simulated cluster without its service doing it: faults, users, strangers.

Each call works on the state directory, whether a service uses it or not.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

from openrdms.adapters.simulator import effects, vms
from openrdms.adapters.simulator.state import State
from openrdms.model.errors import AlreadyExists, InvalidParameter, NotFound, VmNotRunning
from openrdms.model.host import VmEventKind, VmState

HOST_FAULTS = frozenset({"", "down", "slow"})
VM_FAULTS = frozenset({"", "silent", "no-agent", "probe"})
IMAGE_FAULTS = frozenset({"", "no-agent", "probe", "corrupt"})


def set_fault(path: Path, host: str, vm: str = "", fault: str = "") -> None:
    """Give the VM or, with none named, the host a fault; "" mends it. NotFound, InvalidParameter.

    A VM is ``silent`` (its agent stops answering), has ``no-agent`` from its next boot on, or
    fails each ``probe`` (commands in it return 1). A host is ``down``, or ``slow``: it takes ten
    times as long.
    """
    _check_fault(fault, VM_FAULTS if vm else HOST_FAULTS)
    with _host(path, host) as (db, name):
        if vm:
            vms.get(db, name, vm)
            db.execute("UPDATE vms SET fault = ? WHERE host = ? AND name = ?", (fault, name, vm))
        else:
            db.execute("UPDATE hosts SET fault = ? WHERE name = ?", (fault, name))


def set_image_fault(path: Path, image: str, fault: str = "") -> None:
    """Break all guests that boot from the image NAME@VERSION as ``set_fault`` breaks one, or its
    copies to hosts: ``corrupt``. "" mends it. NotFound, InvalidParameter.
    """
    _check_fault(fault, IMAGE_FAULTS)
    with _open(path) as db:
        db.execute("INSERT OR REPLACE INTO image_faults VALUES (?, ?)", (image, fault))


def log_on(path: Path, host: str, vm: str, user: str) -> str:
    """Begin a session of ``user``; returns the guest's id of it. NotFound, VmNotRunning."""
    with _host(path, host) as (db, name):
        row = _get_running(db, name, vm)
        _tell(db, row, VmEventKind.LOGGED_ON)
        return str(effects.log_on(db, (name, row["name"]), user, time.time()))


def log_off(path: Path, host: str, vm: str, user: str) -> None:
    """End all sessions of ``user`` in the VM. NotFound also without one, VmNotRunning."""
    with _host(path, host) as (db, name):
        row = _get_running(db, name, vm)
        ended = db.execute(
            "DELETE FROM sessions WHERE host = ? AND vm = ? AND user = ? AND since <= ?",
            (name, row["name"], user, time.time()),
        )
        if not ended.rowcount:
            raise NotFound(f"{user} is not logged on in {vm} on {name}")
        _tell(db, row, VmEventKind.LOGGED_OFF)


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


def _check_fault(fault: str, known: Collection[str]) -> None:
    if fault not in known:
        raise InvalidParameter("fault", f"{fault!r} is none of {sorted(known)}")


def _get_running(db: sqlite3.Connection, host: str, vm: str) -> sqlite3.Row:
    row = vms.get(db, host, vm)
    if vms.state(row) is not VmState.RUNNING:
        raise VmNotRunning(f"{vm} is not running on {host}")
    return row


def _tell(db: sqlite3.Connection, vm: sqlite3.Row, kind: VmEventKind) -> None:
    """Leave word for the service, which looks for it; the last thousand are kept."""
    cursor = db.execute(
        "INSERT INTO tidings (host, vm, kind) VALUES (?, ?, ?)", (vm["host"], vm["name"], kind)
    )
    db.execute("DELETE FROM tidings WHERE id <= ?", ((cursor.lastrowid or 0) - 1000,))


@contextmanager
def _host(path: Path, host: str) -> Iterator[tuple[sqlite3.Connection, str]]:
    """A transaction, and the host's full name; short names do, whatever their case."""
    with _open(path) as db:
        row = db.execute(
            "SELECT name FROM hosts WHERE name IN (?, ? || '.sim.local')", (host, host)
        ).fetchone()
        if row is None:
            raise NotFound(f"{path} has no host {host}")
        yield db, row["name"]


@contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    state = State(path)
    try:
        with state.transaction() as db:
            yield db
    finally:
        state.close()
