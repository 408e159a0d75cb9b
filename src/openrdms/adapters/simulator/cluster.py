"""One simulated cluster as this process sees it: what its hosts share."""

from __future__ import annotations

import hashlib
import sqlite3
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from openrdms.adapters.simulator import effects, vms
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

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        callers: Callers,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self._state = State(settings.path, create=True)
        self.announcer = Announcer(clock, self._sift, self._read_tidings)
        self.operations = Operations(
            self._state, settings, clock, callers, self.announcer.announce_all, check
        )
        self.host_names = [host_name(ordinal) for ordinal in range(1, settings.hosts + 1)]
        self._open_hosts = set(self.host_names)
        with self._state.transaction() as db:
            _add_hosts(db, self.host_names)
            settle(db, callers)
            (self._last_tiding,) = db.execute("SELECT max(id) FROM tidings").fetchone()
        self._version = self._state.version()
        self.image = _tiny(settings.path)

    def release(self, host: str) -> None:
        """A host was closed; with the last one everything is."""
        if host in self._open_hosts:
            self._open_hosts.remove(host)
            if not self._open_hosts:
                self.announcer.close()
                self._state.close()

    def announce_coming(self, host: str) -> None:
        """Tell of the agents on that host that have yet to answer, and of its users, in time."""
        with self._state.transaction() as db:
            news = effects.to_come(db, host, self.clock.now())
        self.announcer.announce_all(news)

    def _sift(self, news: effects.News) -> effects.News:
        """What of it comes true when it is due."""
        if not news:
            return []
        with self._state.reading() as db:
            return [(due, event) for due, event in news if _holds(db, event, due)]

    def _read_tidings(self) -> list[VmEvent]:
        """What users did by another process since the last look."""
        version = self._state.version()
        if version == self._version:
            return []
        self._version = version
        with self._state.reading() as db:
            rows = db.execute(
                "SELECT * FROM tidings WHERE id > ? ORDER BY id", (self._last_tiding or 0,)
            ).fetchall()
        if rows:
            self._last_tiding = rows[-1]["id"]
        return [VmEvent(VmEventKind(row["kind"]), row["host"], row["vm"]) for row in rows]


def _holds(db: sqlite3.Connection, event: VmEvent, due: float) -> bool:
    """Whether what was to happen at ``due`` still does: same boot, running, not silenced."""
    if event.kind not in (VmEventKind.AGENT_CONNECTED, VmEventKind.LOGGED_ON):
        return True
    row = vms.find(db, event.host, event.vm)
    if row is None or vms.state(row) is not VmState.RUNNING:
        return False
    if event.kind is VmEventKind.AGENT_CONNECTED:
        return bool(row["agent_at"] == due and row["fault"] != "silent")
    begun = db.execute(
        "SELECT 1 FROM sessions WHERE host = ? AND vm = ? AND since = ?",
        (event.host, event.vm, due),
    )
    return begun.fetchone() is not None


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
