"""One simulated cluster as this process sees it: what its hosts share."""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from datetime import UTC, datetime
from pathlib import Path

from openrdms.adapters.simulator import vms
from openrdms.adapters.simulator.clock import Callers, Clock
from openrdms.adapters.simulator.disk_image import empty_qcow2
from openrdms.adapters.simulator.events import Announcer
from openrdms.adapters.simulator.operations import Operations, settle
from openrdms.adapters.simulator.state import State, host_name
from openrdms.adapters.simulator.uri import Settings
from openrdms.model.host import VmEvent, VmEventKind, VmState
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion

TINY_BYTES = 1 << 30


class Cluster:
    """Opens the state in ``settings.path``, makes it at first, and closes it after its hosts."""

    def __init__(self, settings: Settings, clock: Clock, callers: Callers) -> None:
        self.settings = settings
        self.clock = clock
        self._state = State(settings.path, create=True)
        self.operations = Operations(self._state, settings, clock, callers)
        self.announcer = Announcer(clock, self._holds)
        self.host_names = [host_name(ordinal) for ordinal in range(1, settings.hosts + 1)]
        self._open_hosts = set(self.host_names)
        with self._state.transaction() as db:
            _add_hosts(db, self.host_names)
            settle(db, callers)
        self.image = _tiny(settings.path)

    def release(self, host: str) -> None:
        """A host was closed; with the last one everything is."""
        if host in self._open_hosts:
            self._open_hosts.remove(host)
            if not self._open_hosts:
                self.announcer.close()
                self._state.close()

    def announce_booting(self, host: str) -> None:
        """Tell of the agents on that host that have yet to answer, when they do."""
        with self._state.transaction() as db:
            booting = db.execute(
                "SELECT name, agent_at FROM vms WHERE host = ? AND agent_at > ?",
                (host, self.clock.now()),
            ).fetchall()
        for vm in booting:
            event = VmEvent(VmEventKind.AGENT_CONNECTED, host, vm["name"])
            self.announcer.announce(vm["agent_at"], event)

    def _holds(self, event: VmEvent, due: float) -> bool:
        """Whether the agent that was to answer at ``due`` still does: same boot, not silenced."""
        if event.kind is not VmEventKind.AGENT_CONNECTED:
            return True
        with self._state.transaction() as db:
            row = vms.find(db, event.host, event.vm)
        runs = row is not None and vms.state(row) is VmState.RUNNING
        return row is not None and runs and row["agent_at"] == due and not row["fault"]


def _add_hosts(db: sqlite3.Connection, names: list[str]) -> None:
    db.executemany(
        "INSERT OR IGNORE INTO hosts (name, ordinal) VALUES (?, ?)",
        [(name, ordinal) for ordinal, name in enumerate(names, 1)],
    )


def _tiny(path: Path) -> ImageVersion:
    """The image every cluster starts with: a real file, the same everywhere."""
    content = empty_qcow2(TINY_BYTES)
    disk = path / "images" / "tiny" / "1" / "disk.qcow2"
    if not disk.exists():
        disk.parent.mkdir(parents=True, exist_ok=True)
        partial = disk.with_suffix(f".{uuid.uuid4().hex}")
        partial.write_bytes(content)
        partial.rename(disk)
    return ImageVersion(
        name="tiny",
        version=1,
        disk=disk,
        virtual_bytes=TINY_BYTES,
        sha256=hashlib.sha256(content).hexdigest(),
        os=GuestOs.LINUX,
        firmware=Firmware.BIOS,
        memory_mib=256,
        vcpus=1,
        disk_bus=DiskBus.VIRTIO,
        created=datetime.fromtimestamp(disk.stat().st_mtime, UTC),
        source="simulator",
    )
