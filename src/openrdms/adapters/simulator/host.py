"""One simulated hypervisor host."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from openrdms.adapters.simulator import moves, screen, vms
from openrdms.adapters.simulator.disk_image import empty_qcow2
from openrdms.adapters.simulator.display import Displays
from openrdms.adapters.simulator.guest import SimulatorGuest, screen_lines, type_in
from openrdms.adapters.simulator.images import Images
from openrdms.adapters.simulator.operations import Task
from openrdms.adapters.simulator.rdp import RdpServers
from openrdms.model.errors import (
    HostUnavailable,
    InvalidOperation,
    NotFound,
    NotSupported,
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
from openrdms.ports import Host

if TYPE_CHECKING:
    from openrdms.adapters.simulator.cluster import Cluster


class SimulatorHost:
    """Implements ``ports.Host``. Clones, starts, saves and stops take time and slots."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self._cluster = cluster
        self._settings = cluster.settings
        self._operations = cluster.operations
        self._name = name
        self._images = Images(cluster, name)
        self._displays = Displays()
        self._rdp = RdpServers()

    @property
    def name(self) -> str:
        """``host1.sim.local`` and on."""
        return self._name

    @property
    def slots(self) -> int:
        """See ``ports.Host``. What is asked beyond these waits on the host."""
        return self._settings.slots

    @property
    def stops(self) -> int:
        """See ``ports.Host``. Each ends with calls that take no slots."""
        return 2 * self._settings.slots

    @property
    def removals(self) -> int:
        """See ``ports.Host``. They take no slots."""
        return 2 * self._settings.slots

    def describe(self) -> HostInfo:
        """See ``ports.Host``. Free is what so many more desktops of ``tiny`` would fill."""
        try:
            with self._operations.reading(self._name) as db:
                room, reachable = self._settings.capacity - vms.count_desktops(db, self._name), True
                count, used = vms.count_vms(db, self._name)
        except HostUnavailable:
            room, count, used, reachable = 0, 0, 0, False
        return HostInfo(
            name=self._name,
            reachable=reachable,
            accelerator="simulated",
            capacity=self._settings.capacity,
            free_bytes=max(0, room) * self._cluster.image.virtual_bytes,
            os_version="OpenRDMS simulator",
            memory_mib=self._settings.memory_mib,
            used_mib=used,
            vms=count,
        )

    def list_vms(self) -> list[VmInfo]:
        """See ``ports.Host``."""
        with self._operations.reading(self._name) as db:
            rows = db.execute("SELECT * FROM vms WHERE host = ?", (self._name,)).fetchall()
        return [vms.info(row) for row in rows]

    def page_vms(self, after: str, until: str | None, limit: int) -> list[VmSummary]:
        """See ``ports.Host``. Names are ASCII, so the file's order is that of folded names."""
        with self._operations.reading(self._name) as db:
            rows = vms.page(db, self._name, after, until, limit)
        return [VmSummary(row["name"], vms.state(row), vms.maker(row)) for row in rows]

    def find_vm(self, name: str) -> VmInfo | None:
        """See ``ports.Host``."""
        with self._operations.reading(self._name) as db:
            row = vms.find(db, self._name, name)
        return None if row is None else vms.info(row)

    def images(self) -> list[ImageVersion]:
        """See ``ports.Host``."""
        return [self._cluster.image]

    @property
    def tells_sessions(self) -> bool:
        """See ``ports.Host``."""
        return True

    def has_image(self, image: ImageVersion) -> bool:
        """See ``ports.Host``."""
        with self._operations.reading(self._name) as db:
            return self._images.has(db, image)

    def copy_image(
        self,
        image: ImageVersion,
        go_on: Callable[[], bool],
        progress: Callable[[float], None],
    ) -> None:
        """See ``ports.Host``. It takes ``copy_ms``."""
        self._images.copy(image, go_on, progress)

    def drop_image(self, image: ImageVersion) -> None:
        """See ``ports.Host``."""
        self._images.drop(image)

    def create_disk(self, spec: VmSpec) -> None:
        """See ``ports.Host``. Linked or full, it takes ``clone_ms``."""

        def plan(db: sqlite3.Connection) -> Task | None:
            name = _disk_name(spec.name, spec.generation)
            disk = {
                "generation": spec.generation,
                "name": name,
                "image": spec.image.reference,
                "virtual_bytes": spec.image.virtual_bytes,
                "hostname": spec.image.name,
            }
            there = vms.find_disk(db, self._name, spec.name, name)
            if there and vms.is_new(there, disk):
                return None
            # A PrepJob's copy comes from this host and is no image yet.
            if spec.network and not self._images.has(db, spec.image):
                raise OperationFailed(f"{spec.image.reference} is not on {self._name} yet")
            self._check_room(db, spec.name)
            if there:
                self._drop_left_over(db, spec.name, name)
            return Task("clone", self._settings.clone_ms, disk)

        self._operations.run(self._name, spec.name, plan)

    def delete_disk(self, vm: str, generation: int) -> None:
        """See ``ports.Host``."""
        with self._operations.at_rest(self._name, vm) as db:
            db.execute(
                "DELETE FROM disks WHERE host = ? AND vm = ? AND generation = ?",
                (self._name, vm, generation),
            )

    def delete_unused_disks(self, vm: str) -> None:
        """See ``ports.Host``."""
        with self._operations.at_rest(self._name, vm) as db:
            db.execute(
                """DELETE FROM disks WHERE host = :host AND vm = :vm AND generation IS NOT NULL
                   AND name NOT IN (SELECT disk FROM vms WHERE host = :host AND name = :vm)""",
                {"host": self._name, "vm": vm},
            )

    def define(self, spec: VmSpec) -> None:
        """See ``ports.Host``."""
        disk = _disk_name(spec.name, spec.generation)
        ended = False
        with self._operations.at_rest(self._name, spec.name) as db:
            if not vms.is_whole(vms.find_disk(db, self._name, spec.name, disk)):
                raise NotFound(f"{spec.name} has no disk {disk} on {self._name}")
            row = vms.find(db, self._name, spec.name)
            if row is not None:
                self._check_ours(row)
                if (row["disk"], vms.ownership(row)) == (disk, spec.ownership):
                    return
                ended = self._leave_off(db, row)
            vms.put(db, self._name, spec, disk)
        if ended:
            self._tell_log_off(spec.name)

    def undefine(self, vm: str, uuid: UUID | None = None) -> None:
        """See ``ports.Host``."""
        with self._operations.at_rest(self._name, vm) as db:
            row = vms.find(db, self._name, vm, uuid)
            if row is None:
                return
            self._check_ours(row)
            if row["adopted"]:
                raise InvalidOperation(f"{vm} on {self._name} was adopted and is never deleted")
            ended = self._leave_off(db, row)
            db.execute("DELETE FROM vms WHERE host = ? AND name = ?", (self._name, vm))
        if ended:
            self._tell_log_off(vm)

    def start(self, vm: str) -> None:
        """See ``ports.Host``. The boot goes on by itself; one stopped half-way starts over."""

        def plan(db: sqlite3.Connection) -> Task | None:
            row = vms.get(db, self._name, vm)
            state = vms.state(row)
            if state is VmState.PAUSED and row["held_at"] is not None:
                vms.let_go(db, row, self._cluster.clock.now(), 0)
            elif state is VmState.SAVED:
                agent_s = self._settings.agent_ms / 1000
                return Task("restore", self._settings.save_ms, {"agent_s": agent_s})
            elif state is not VmState.RUNNING:
                return self._plan_boot(db, row)
            return None

        if not self._operations.run(self._name, vm, plan):
            # A caller that died may have started it, so nobody was told of its agent yet.
            self._cluster.announce_coming(self._name)

    def _plan_boot(self, db: sqlite3.Connection, vm: sqlite3.Row) -> Task:
        disk = vms.find_disk(db, self._name, vm["name"], vm["disk"])
        if disk is None or not vms.is_whole(disk):
            raise OperationFailed(f"{vm['name']} has lost its disk {vm['disk']}")
        boot_s: float | None = (self._settings.boot_ms + self._settings.agent_ms) / 1000
        if "no-agent" in (vm["fault"], vms.find_image_fault(db, disk["image"])):
            boot_s = None
        if not disk["used"]:
            where = (self._name, vm["name"], disk["name"])
            db.execute("UPDATE disks SET used = 1 WHERE host = ? AND vm = ? AND name = ?", where)
        args = {"boot_s": boot_s, "users": self._settings.users}
        return Task("start", self._settings.start_ms, args)

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

        def plan(db: sqlite3.Connection) -> Task | None:
            row = vms.get(db, self._name, vm)
            self._check_ours(row)
            if vms.state(row) is VmState.STOPPED:
                raise InvalidOperation(f"{vm} is stopped and cannot be saved")
            saved = vms.state(row) is VmState.SAVED
            return None if saved else Task("save", self._settings.save_ms, _agent_of(row))

        self._operations.run(self._name, vm, plan)

    def shut_down(self, vm: str, timeout: float) -> None:
        """See ``ports.Host``. It takes ``destroy_ms``, as ``destroy`` does."""
        with self._operations.at_rest(self._name, vm) as db:
            row = vms.get(db, self._name, vm)
        if vms.state(row) is VmState.SAVED:
            raise InvalidOperation(f"{vm} is saved: it must be started first")
        if row["fault"] == "silent" and row["started_at"] is not None:
            self._cluster.clock.sleep(timeout)
            raise OperationFailed(f"{vm} did not shut down within {timeout} s")
        self._stop(vm, ours=False)

    def destroy(self, vm: str, uuid: UUID | None = None) -> None:
        """See ``ports.Host``. InvalidOperation for a VM that is not ours."""
        self._stop(vm, uuid, ours=True)

    def abort_start(self, vm: str, uuid: UUID) -> None:
        """See ``ports.Host``: a start has its slot until it is over."""

    def is_shared_with(self, other: Host) -> bool:
        """See ``ports.Host``: hosts of one cluster share what they have."""
        same = isinstance(other, SimulatorHost) and other._cluster is self._cluster
        return same and other is not self

    def migrate(self, vm: str, uuid: UUID, target: Host) -> None:
        """See ``ports.Host``. It takes ``save_ms``."""
        if not self.is_shared_with(target):
            raise NotSupported(f"{self._name} and {target.name} share no disks")

        def plan(db: sqlite3.Connection) -> Task | None:
            row = vms.find(db, self._name, vm, uuid)
            if row is None:
                moves.get_one(db, self._name, target.name, vm)
                return None
            moves.check(db, row, target.name, self._settings.capacity)
            return Task("migrate", self._settings.save_ms, {"target": target.name})

        with self._operations.transaction(target.name):
            pass  # it is there
        self._operations.run(self._name, vm, plan)

    def settle_move(self, vm: str, uuid: UUID, target: Host) -> bool:
        """See ``ports.Host``: a move is one transaction, so it was made or not."""
        with self._operations.at_rest(self._name, vm) as db:
            return vms.find(db, target.name, vm, uuid) is not None

    def set_ownership(self, vm: str, ownership: Ownership | None) -> None:
        """See ``ports.Host``."""
        with self._operations.at_rest(self._name, vm) as db:
            vms.get(db, self._name, vm)
            vms.set_ownership(db, self._name, vm, ownership)

    def export_disk(self, vm: str, target: Path) -> int:
        """See ``ports.Host``. Takes ``clone_ms``; the file is a real, empty qcow2."""
        virtual_bytes = 0

        def plan(db: sqlite3.Connection) -> Task:
            nonlocal virtual_bytes
            row = vms.get(db, self._name, vm)
            self._check_off(row)
            disk = vms.find_disk(db, self._name, vm, row["disk"])
            if disk is None or disk["partial"]:
                raise OperationFailed(f"{vm} has lost its disk {row['disk']}")
            virtual_bytes = disk["virtual_bytes"]
            return Task("export", self._settings.clone_ms, {})

        self._operations.run(self._name, vm, plan)
        try:
            target.write_bytes(empty_qcow2(virtual_bytes))
        except OSError as error:
            raise OperationFailed(f"{target}: {error.strerror}") from error
        return virtual_bytes

    def screenshot(self, vm: str) -> bytes:
        """See ``ports.Host``."""
        return screen.render(self._read_screen(vm))

    def open_display(self, vm: str) -> socket.socket:
        """See ``ports.Host``."""
        self._read_screen(vm)
        return self._displays.open(
            vm, lambda: self._read_screen(vm), lambda keys: self._type_in(vm, keys)
        )

    def _read_screen(self, vm: str) -> list[str]:
        with self._operations.reading(self._name) as db:
            row = vms.get(db, self._name, vm)
            if vms.state(row) in (VmState.STOPPED, VmState.SAVED):
                raise VmNotRunning(f"{vm} on {self._name} is off and shows nothing")
            return screen_lines(db, row, self._cluster.clock.now())

    def _type_in(self, vm: str, keys: str) -> None:
        with self._operations.transaction(self._name) as db:
            row = vms.get(db, self._name, vm)
            if vms.state(row) is VmState.RUNNING:
                type_in(db, row, keys)

    def rdp_address(self, vm: str) -> tuple[str, int]:
        """See ``ports.Host``."""
        self._require_running(vm)
        return self._rdp.address_of(vm, lambda: self._require_running(vm))

    def _require_running(self, vm: str) -> None:
        with self._operations.reading(self._name) as db:
            if vms.state(vms.get(db, self._name, vm)) is not VmState.RUNNING:
                raise VmNotRunning(f"{vm} on {self._name} is not running")

    def guest(self, vm: str) -> SimulatorGuest:
        """See ``ports.Host``."""
        return SimulatorGuest(self._cluster, self._name, vm)

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Callable[[], None]:
        """See ``ports.Host``. Agents of VMs that boot since before the subscription are told of."""
        unsubscribe = self._cluster.announcer.subscribe(self._name, callback)
        self._cluster.announce_coming(self._name)
        return unsubscribe

    def list_leftovers(self) -> list[Leftover]:
        """See ``ports.Host``. A simulated host has VMs, disks and saved states only."""
        with self._operations.reading(self._name) as db:
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
        self._displays.close()
        self._rdp.close()
        self._cluster.release(self._name)

    def _stop(self, vm: str, uuid: UUID | None = None, *, ours: bool) -> None:
        ended = False

        def plan(db: sqlite3.Connection) -> Task | None:
            nonlocal ended
            row = vms.find(db, self._name, vm, uuid)
            if row is None:
                return None
            if ours:
                self._check_ours(row)
            if vms.state(row) is VmState.SAVED:
                ended = vms.drop_saved(db, self._name, vm)
            off = vms.state(row) in (VmState.STOPPED, VmState.SAVED)
            return None if off else Task("stop", self._settings.destroy_ms, _agent_of(row))

        self._operations.run(self._name, vm, plan)
        if ended:
            self._tell_log_off(vm)

    def _tell_log_off(self, vm: str) -> None:
        event = VmEvent(VmEventKind.LOGGED_OFF, self._name, vm)
        self._cluster.announcer.announce(self._cluster.clock.now(), event)

    def _check_room(self, db: sqlite3.Connection, vm: str) -> None:
        has_disk = db.execute("SELECT 1 FROM disks WHERE host = ? AND vm = ?", (self._name, vm))
        capacity = self._settings.capacity
        if has_disk.fetchone() is None and not vms.has_room(db, self._name, capacity):
            raise OutOfSpace(f"{self._name} is full: it holds {capacity} desktops")

    def _drop_left_over(self, db: sqlite3.Connection, vm: str, disk: str) -> None:
        """What has the name of a disk that is about to be made."""
        row = vms.find(db, self._name, vm)
        if row and row["disk"] == disk and vms.state(row) is not VmState.STOPPED:
            raise InvalidOperation(f"{vm} is {vms.state(row).name.lower()} on {disk}")
        db.execute(
            "DELETE FROM disks WHERE host = ? AND vm = ? AND name = ?", (self._name, vm, disk)
        )

    def _check_ours(self, row: sqlite3.Row) -> None:
        if vms.ownership(row) is None:
            raise InvalidOperation(f"{row['name']} on {self._name} is not a VM of ours")

    def _leave_off(self, db: sqlite3.Connection, row: sqlite3.Row) -> bool:
        """Off it must be; what was saved of it goes. True when that ended sessions."""
        if vms.state(row) is VmState.SAVED:
            return vms.drop_saved(db, self._name, row["name"])
        self._check_off(row)
        return False

    def _check_off(self, row: sqlite3.Row) -> None:
        if vms.state(row) is not VmState.STOPPED:
            raise InvalidOperation(f"{row['name']} on {self._name} must be off for that")


def _agent_of(vm: sqlite3.Row) -> dict[str, object]:
    """When its agent answers: what is told when the VM stops."""
    return {"agent_at": vm["agent_at"]}


def _disk_name(vm: str, generation: int) -> str:
    return f"{vm}.{generation}.qcow2"
