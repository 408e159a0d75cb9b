"""A state directory with many desktops, written at once instead of by jobs."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from uuid import UUID

from openrdms.adapters import simulator, sql
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import DiskKind

COLLECTION, KEY, VALUE = "bench", "MaxMonitors", 7
HOSTS = 10
_CHUNK = 10_000


def fill(state_dir: Path, count: int) -> str:
    """Make records and simulated VMs of ``count`` desktops; returns the hypervisor's URI."""
    state_dir.mkdir(parents=True)
    cluster = state_dir / "cluster"
    uri = f"simulator://{cluster}?hosts={HOSTS}&capacity={count}"
    hosts = simulator.connect(uri)
    for host in hosts:
        host.close()
    with closing(sql.open_store(f"sqlite:///{state_dir / 'records.sqlite'}")) as store:
        # at rest: of a pool all would be prepared
        kind = CollectionType.MANUAL_PERSONAL
        store.create_collection(Collection(COLLECTION, "Benchmark", kind, is_managed=True))
        store.set_property(COLLECTION, KEY, VALUE)
        desktops = _desktops(count)
        while chunk := list(islice(desktops, _CHUNK)):
            store.put_desktops(chunk)
    with closing(sqlite3.connect(cluster / "state.sqlite")) as truth, truth:
        truth.executemany(
            """INSERT INTO vms (host, name, uuid, mac, memory_mib, vcpus, disk,
                                collection, job, image, adopted, started_at, agent_at)
               VALUES (?, ?, ?, ?, 256, 1, ?, ?, '', 'tiny@1', 0, ?, ?)""",
            (_vm(desktop) for desktop in _desktops(count)),
        )
    return uri


def _desktops(count: int) -> Iterator[Desktop]:
    for number in range(1, count + 1):
        yield Desktop(
            name=f"desktop-{number:07}",
            host=f"host{number % HOSTS + 1}.sim.local",
            uuid=UUID(int=number),
            mac=f"52:54:{number >> 24:02x}:{number >> 16 & 255:02x}:"
            f"{number >> 8 & 255:02x}:{number & 255:02x}",
            collection=COLLECTION,
            home=COLLECTION,
            image="tiny@1",
            disk_kind=DiskKind.LINKED,
            generation=1,
            status=DesktopStatus.SUCCESS,
        )


def _vm(desktop: Desktop) -> tuple[object, ...]:
    """Every other one runs."""
    started = time.time() if desktop.uuid.int % 2 else None
    return (
        *(desktop.host, desktop.name, str(desktop.uuid), desktop.mac),
        *(f"{desktop.name}.1.qcow2", desktop.collection, started, started),
    )
