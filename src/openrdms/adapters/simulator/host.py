"""One simulated hypervisor host."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from openrdms.adapters.simulator import screen, vms
from openrdms.adapters.simulator.disk_image import empty_qcow2
from openrdms.adapters.simulator.guest import SimulatorGuest, screen_lines
from openrdms.model.errors import (
    HostUnavailable,
    InvalidOperation,
    OperationFailed,
    OutOfSpace,
    VmNotRunning,
)
from openrdms.model.host import (
    HostInfo,
    Leftover,
    Ownership,
    VmEvent,
    VmEventKind,
    VmInfo,
    VmSpec,
    VmState,
    VmSummary,
)
from openrdms.model.image import ImageVersion

if TYPE_CHECKING:
    from openrdms.adapters.simulator.cluster import Cluster


class SimulatorHost:
    """Implements ``ports.Host``. Clones, starts, saves and stops take time and slots."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._settings = cluster.settings
        self._operations = cluster.operations
        self._name = name

    @property
    def name(self) -> str:
        """``host1.sim.local`` and on."""
        return self._name

    @property
    def slots(self) -> int:
        """See ``ports.Host``. What is asked beyond these waits on the host."""
        return self._settings.slots

    def describe(self) -> HostInfo:
        """See ``ports.Host``. Free is what so many more desktops of ``tiny`` would fill."""
        try:
            with self._operations.transaction(self._name) as db:
                room, reachable = self._settings.capacity - vms.count_desktops(db, self._name), True
                used = vms.used_mib(db, self._name)
        except HostUnavailable:
            room, used, reachable = 0, 0, False
        return HostInfo(
            name=self._name,
            reachable=reachable,
            accelerator="simulated",
            capacity=self._settings.capacity,
            free_bytes=max(0, room) * self._cluster.image.virtual_bytes,
            os_version="OpenRDMS simulator",
            memory_mib=self._settings.memory_mib,
            used_mib=used,
        )

    def list_vms(self) -> list[VmInfo]:
        """See ``ports.Host``."""
        with self._operations.transaction(self._name) as db:
            rows = db.execute("SELECT * FROM vms WHERE host = ?", (self._name,)).fetchall()
        return [vms.info(row) for row in rows]

    def page_vms(self, after: str, until: str | None, limit: int) -> list[VmSummary]:
        """See ``ports.Host``. Names are ASCII, so the file's order is that of folded names."""
        with self._operations.transaction(self._name) as db:
            rows = vms.page(db, self._name, after, until, limit)
        return [VmSummary(row["name"], vms.state(row), vms.maker(row)) for row in rows]

    def find_vm(self, name: str) -> VmInfo | None:
        """See ``ports.Host``."""
        with self._operations.transaction(self._name) as db:
            row = vms.find(db, self._name, name)
        return None if row is None else vms.info(row)

    def images(self) -> list[ImageVersion]:
        """See ``ports.Host``."""
        return [self._cluster.image]

    @property
    def tells_sessions(self) -> bool:
        """False: guests must be asked who is logged on."""
        return False

    def has_image(self, image: ImageVersion) -> bool:
        """See ``ports.Host``; the host sees the files of the library."""
        return True

    def copy_image(
        self,
        image: ImageVersion,
        go_on: Callable[[], bool],
        progress: Callable[[float], None],
    ) -> None:
        """See ``ports.Host``; there is nothing to bring."""
        progress(1.0)

    def drop_image(self, image: ImageVersion) -> None:
        """See ``ports.Host``; nothing was brought."""

    def create_disk(self, spec: VmSpec) -> None:
        """See ``ports.Host``. Linked or full, it takes ``clone_ms``."""

        def plan(db: sqlite3.Connection) -> Mapping[str, object] | None:
            name = _disk_name(spec.name, spec.generation)
            if vms.is_whole(vms.find_disk(db, self._name, spec.name, name)):
                return None
            self._check_room(db, spec.name)
            return {
                "generation": spec.generation,
                "name": name,
                "image": spec.image.reference,
                "virtual_bytes": spec.image.virtual_bytes,
                "hostname": spec.image.name,
            }

        self._operations.run(self._name, spec.name, "clone", self._settings.clone_ms, plan)

    def delete_disk(self, vm: str, generation: int) -> None:
        """See ``ports.Host``."""
        with self._operations.at_rest(self._name, vm) as db:
            db.execute(
                "DELETE FROM disks WHERE host = ? AND vm = ? AND generation = ?",
                (self._name, vm, generation),
            )

    def define(self, spec: VmSpec) -> None:
        """See ``ports.Host``."""
        disk = _disk_name(spec.name, spec.generation)
        with self._operations.at_rest(self._name, spec.name) as db:
            if not vms.is_whole(vms.find_disk(db, self._name, spec.name, disk)):
                raise OperationFailed(f"{spec.name} has no disk {disk} on {self._name}")
            row = vms.find(db, self._name, spec.name)
            if row is not None:
                self._check_ours(row)
                if (row["disk"], vms.ownership(row)) == (disk, spec.ownership):
                    return
                self._leave_off(db, row)
            vms.put(db, self._name, spec, disk)

    def undefine(self, vm: str) -> None:
        """See ``ports.Host``."""
        with self._operations.at_rest(self._name, vm) as db:
            row = vms.find(db, self._name, vm)
            if row is None:
                return
            self._check_ours(row)
            if row["adopted"]:
                raise InvalidOperation(f"{vm} on {self._name} was adopted and is never deleted")
            self._leave_off(db, row)
            db.execute("DELETE FROM vms WHERE host = ? AND name = ?", (self._name, vm))

    def start(self, vm: str) -> None:
        """See ``ports.Host``. The boot goes on by itself; one stopped half-way starts over."""
        with self._operations.at_rest(self._name, vm) as db:
            row = vms.get(db, self._name, vm)
            state = vms.state(row)
            resumes = state is VmState.PAUSED and row["held_at"] is not None
            if resumes:
                vms.let_go(db, row, self._cluster.clock.now(), 0)
        if resumes:
            self._cluster.announce_booting(self._name)
        elif state is VmState.SAVED:
            self._restore(vm)
        else:
            self._boot(vm)

    def _restore(self, vm: str) -> None:
        agent_s = self._settings.agent_ms / 1000
        due: float | None = None

        def plan(db: sqlite3.Connection) -> Mapping[str, object] | None:
            saved = vms.state(vms.get(db, self._name, vm)) is VmState.SAVED
            return {"agent_s": agent_s} if saved else None

        restored = self._operations.run(self._name, vm, "restore", self._settings.save_ms, plan)
        if restored is not None:
            self._announce(VmEventKind.STARTED, vm, restored["ends"])
            with self._operations.transaction(self._name) as db:
                due = vms.get(db, self._name, vm)["agent_at"]
        if due is not None:
            self._announce(VmEventKind.AGENT_CONNECTED, vm, due)

    def _boot(self, vm: str) -> None:
        boot_s = (self._settings.boot_ms + self._settings.agent_ms) / 1000

        def plan(db: sqlite3.Connection) -> Mapping[str, object] | None:
            row = vms.get(db, self._name, vm)
            if vms.state(row) is VmState.RUNNING:
                return None
            if not vms.is_whole(vms.find_disk(db, self._name, vm, row["disk"])):
                raise OperationFailed(f"{vm} has lost its disk {row['disk']}")
            return {"boot_s": boot_s, "users": self._settings.users}

        started = self._operations.run(self._name, vm, "start", self._settings.start_ms, plan)
        if started is None:
            # A caller that died may have started it, so nobody was told of its agent yet.
            self._cluster.announce_booting(self._name)
        else:
            self._announce(VmEventKind.STARTED, vm, started["ends"])
            self._announce(VmEventKind.AGENT_CONNECTED, vm, started["ends"] + boot_s)

    def pause(self, vm: str) -> None:
        """See ``ports.Host``. It takes no time."""
        with self._operations.at_rest(self._name, vm) as db:
            row = vms.get(db, self._name, vm)
            self._check_ours(row)
            state = vms.state(row)
            if state in (VmState.STOPPED, VmState.SAVED):
                raise InvalidOperation(f"{vm} is {state.name.lower()} and cannot be paused")
            if state is not VmState.PAUSED:
                vms.hold(db, row, self._cluster.clock.now(), saved=False)

    def save(self, vm: str) -> None:
        """See ``ports.Host``. It takes ``save_ms``, as restoring does."""

        was: sqlite3.Row | None = None

        def plan(db: sqlite3.Connection) -> Mapping[str, object] | None:
            nonlocal was
            was = vms.get(db, self._name, vm)
            self._check_ours(was)
            if vms.state(was) is VmState.STOPPED:
                raise InvalidOperation(f"{vm} is stopped and cannot be saved")
            return None if vms.state(was) is VmState.SAVED else {}

        saved = self._operations.run(self._name, vm, "save", self._settings.save_ms, plan)
        if saved is not None:
            self._announce_stop(was, vm, saved["ends"])

    def shut_down(self, vm: str, timeout: float) -> None:
        """See ``ports.Host``. It takes ``destroy_ms``, as ``destroy`` does."""
        with self._operations.at_rest(self._name, vm) as db:
            row = vms.get(db, self._name, vm)
        if vms.state(row) is VmState.SAVED:
            raise InvalidOperation(f"{vm} is saved: it must be started first")
        if row["fault"] and row["started_at"] is not None:
            self._cluster.clock.sleep(timeout)
            raise OperationFailed(f"{vm} did not shut down within {timeout} s")
        self._stop(vm)

    def destroy(self, vm: str) -> None:
        """See ``ports.Host``. InvalidOperation for a VM that is not ours."""
        with self._operations.at_rest(self._name, vm) as db:
            row = vms.find(db, self._name, vm)
            if row is not None:
                self._check_ours(row)
        self._stop(vm)

    def set_ownership(self, vm: str, ownership: Ownership | None) -> None:
        """See ``ports.Host``."""
        with self._operations.at_rest(self._name, vm) as db:
            vms.get(db, self._name, vm)
            vms.set_ownership(db, self._name, vm, ownership)

    def export_disk(self, vm: str, target: Path) -> int:
        """See ``ports.Host``. Takes ``clone_ms``; the file is a real, empty qcow2."""
        virtual_bytes = 0

        def plan(db: sqlite3.Connection) -> Mapping[str, object]:
            nonlocal virtual_bytes
            row = vms.get(db, self._name, vm)
            self._check_off(row)
            disk = vms.find_disk(db, self._name, vm, row["disk"])
            if disk is None or disk["partial"]:
                raise OperationFailed(f"{vm} has lost its disk {row['disk']}")
            virtual_bytes = disk["virtual_bytes"]
            return {}

        self._operations.run(self._name, vm, "export", self._settings.clone_ms, plan)
        try:
            target.write_bytes(empty_qcow2(virtual_bytes))
        except OSError as error:
            raise OperationFailed(f"{target}: {error.strerror}") from error
        return virtual_bytes

    def screenshot(self, vm: str) -> bytes:
        """See ``ports.Host``."""
        with self._operations.transaction(self._name) as db:
            row = vms.get(db, self._name, vm)
            if vms.state(row) in (VmState.STOPPED, VmState.SAVED):
                raise VmNotRunning(f"{vm} on {self._name} is off and shows nothing")
            lines = screen_lines(db, row, self._cluster.clock.now())
        return screen.render(lines)

    def guest(self, vm: str) -> SimulatorGuest:
        """See ``ports.Host``."""
        return SimulatorGuest(self._cluster, self._name, vm)

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Callable[[], None]:
        """See ``ports.Host``. Agents of VMs that boot since before the subscription are told of."""
        unsubscribe = self._cluster.announcer.subscribe(self._name, callback)
        self._cluster.announce_booting(self._name)
        return unsubscribe

    def list_leftovers(self) -> list[Leftover]:
        """See ``ports.Host``. A simulated host has VMs, disks and saved states only."""
        with self._operations.transaction(self._name) as db:
            rows = db.execute(
                """SELECT 'vm' AS kind, name, name AS vm FROM vms
                   WHERE host = :host AND collection IS NOT NULL
                   UNION ALL SELECT 'saved', name || '.save', name FROM vms
                   WHERE host = :host AND collection IS NOT NULL AND saved
                   UNION ALL SELECT 'disk', name, vm FROM disks
                   WHERE host = :host AND generation IS NOT NULL""",
                {"host": self._name},
            ).fetchall()
        return [Leftover(row["kind"], self._name, row["name"], row["vm"]) for row in rows]

    def close(self) -> None:
        """See ``ports.Host``."""
        self._cluster.release(self._name)

    def _stop(self, vm: str) -> None:
        was: sqlite3.Row | None = None

        def plan(db: sqlite3.Connection) -> Mapping[str, object] | None:
            nonlocal was
            was = vms.find(db, self._name, vm)
            if was is not None and vms.state(was) is VmState.SAVED:
                vms.drop_saved(db, self._name, vm)
                return None
            return None if was is None or vms.state(was) is VmState.STOPPED else {}

        latency_ms = self._settings.destroy_ms
        stopped = self._operations.run(self._name, vm, "stop", latency_ms, plan)
        if stopped is not None:
            self._announce_stop(was, vm, stopped["ends"])

    def _announce_stop(self, was: sqlite3.Row | None, vm: str, due: float) -> None:
        if was is not None and was["agent_at"] is not None and was["agent_at"] <= due:
            self._announce(VmEventKind.AGENT_DISCONNECTED, vm, due)
        self._announce(VmEventKind.STOPPED, vm, due)

    def _announce(self, kind: VmEventKind, vm: str, due: float) -> None:
        self._cluster.announcer.announce(due, VmEvent(kind, self._name, vm))

    def _check_room(self, db: sqlite3.Connection, vm: str) -> None:
        has_disk = db.execute("SELECT 1 FROM disks WHERE host = ? AND vm = ?", (self._name, vm))
        if (
            has_disk.fetchone() is None
            and vms.count_desktops(db, self._name) >= self._settings.capacity
        ):
            raise OutOfSpace(f"{self._name} is full: it holds {self._settings.capacity} desktops")

    def _check_ours(self, row: sqlite3.Row) -> None:
        if vms.ownership(row) is None:
            raise InvalidOperation(f"{row['name']} on {self._name} is not a VM of ours")

    def _leave_off(self, db: sqlite3.Connection, row: sqlite3.Row) -> None:
        """Off it must be; what was saved of it goes."""
        if vms.state(row) is VmState.SAVED:
            vms.drop_saved(db, self._name, row["name"])
        else:
            self._check_off(row)

    def _check_off(self, row: sqlite3.Row) -> None:
        if vms.state(row) is not VmState.STOPPED:
            raise InvalidOperation(f"{row['name']} on {self._name} must be off for that")


def _disk_name(vm: str, generation: int) -> str:
    return f"{vm}.{generation}.qcow2"
