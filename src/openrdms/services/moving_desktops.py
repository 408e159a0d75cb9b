"""Desktops that go from one host to another while they run (Move-RDVirtualDesktop).

Where a desktop is going is on record before it goes, and its host changes in one transaction when
it has arrived. What a service that was killed left on the way is settled: the hosts say where it
is, and that becomes its host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import Use
from openrdms.model.host import LIVE, VmState
from openrdms.model.plan import Plan, PlannedChange, PlannedDesktop, PlannedHost
from openrdms.model.reason import ReasonCode
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import Absence, HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.provisioning.census import Surveyor
from openrdms.services.provisioning.placement import Room, place

UNMEASURED = "never measured: move"
"""Moves have no step times: how long one takes is up to what its guest does meanwhile."""

AGAIN_SECONDS = 5.0
"""Until what a host has refused to settle is tried again."""

_log = structlog.get_logger(__name__)


class Target(NamedTuple):
    """A host for one desktop, which needs so much memory there."""

    host: str
    need_mib: int


class Targets:
    """Hosts for desktops of one host, with the room that each had when all were asked, less what
    has gone there since.
    """

    def __init__(self, source: ports.Host, rooms: Iterable[Room]) -> None:
        self._source = source
        self._rooms = {room.host: room for room in rooms}
        self.moved: list[Target] = []

    def choose(self, name: str) -> Target:
        """The best one for that VM, as a job would place it.

        NoRoom when none has room. HostUnavailable when its own is away.
        """
        need = _memory_of(self._source, name)
        [found] = place([(None, 1)], [*self._rooms.values()], need)
        return Target(found.host, need)

    def note_moved(self, target: Target) -> None:
        """What it was chosen for is there now."""
        self.moved.append(target)
        room = self._rooms[target.host]
        used_mib = room.used_mib + target.need_mib
        self._rooms[target.host] = replace(room, used=room.used + 1, used_mib=used_mib)


class MovingDesktops:
    """Safe from any thread. ``service`` is the id of this one, "" when it is alone; ``list_live``
    gives those of the services that live. A host that ``is_degraded`` is the last choice.
    """

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        health: HostHealth,
        uses: DesktopUses,
        service: str = "",
        list_live: Callable[[], Collection[str]] = tuple,
        is_degraded: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self._store = store
        self._hosts = hosts
        self._health = health
        self._uses = uses
        self._service = service
        self._list_live = list_live
        self._surveyor = Surveyor(store, hosts, is_away=health.is_away, is_degraded=is_degraded)
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._settling: set[str] = set()
        self._again: threading.Timer | None = None

    def start(self) -> None:
        """Settle what was left on the way, now and whenever a host comes back."""
        self._health.subscribe(self._hear_of_host)
        self.settle_soon()

    def settle_soon(self) -> None:
        """Settle in the background what no other living service moves: hosts may take their time.

        What an earlier life of a service left has a mover that is gone, or "" as it was alone.
        """
        threading.Thread(target=self._settle_all, name="settle-moves", daemon=True).start()

    def _settle_all(self) -> None:
        try:
            left = self.settle(self._is_gone)
        except errors.RdmsError as error:
            _log.warning("cannot look for desktops on their way", error=str(error))
            left = True
        if left:
            self._settle_later()

    def _settle_later(self) -> None:
        """A host may refuse for a while, and tells nobody when that is over: libvirt does until it
        has noticed that the connections of who led a migration are gone.
        """
        with self._lock:
            if self._again is None:
                self._again = threading.Timer(AGAIN_SECONDS, self._settle_again)
                self._again.daemon = True
                self._again.start()

    def _settle_again(self) -> None:
        with self._lock:
            self._again = None
        self.settle_soon()

    def _is_gone(self, mover: str) -> bool:
        """Ask it after a move was read: who began it was there before."""
        return mover == self._service or mover not in self._list_live()

    def settle(self, is_gone: Callable[[str], bool]) -> bool:
        """Settle what services left on the way that are gone. Whether hosts refused some that are
        there; what is away is settled when it is back.
        """
        left = False
        for record in self._store.list_moving():
            if is_gone(record.mover) and self._begin_settling(record):
                try:
                    left |= not self._settle_one(record) and self._is_there(record)
                finally:
                    self._settling.discard(record.name)
        return left

    def _begin_settling(self, record: Desktop) -> bool:
        """False while another thread of this service has it in hand."""
        with self._lock:
            if record.name in self._under_way | self._settling:
                return False
            self._settling.add(record.name)
            return True

    def _is_there(self, record: Desktop) -> bool:
        try:
            return not any(map(self._health.is_away, (record.host, record.moving_to)))
        except errors.NotFound:  # no host of ours any more
            return False

    def is_under_way(self, name: str) -> bool:
        """Whether this service is moving it now."""
        return name in self._under_way

    def find_targets(self, source: ports.Host) -> Targets:
        """Where desktops of that host can go: hosts that see its disks, as they are now."""
        return Targets(
            source,
            (
                room
                for room in self._surveyor.take().rooms
                if room.host != source.name and source.is_shared_with(self._hosts.get(room.host))
            ),
        )

    def move(self, name: str, destination: str) -> None:
        """Return when it runs, or is off, at that host; there already is fine.

        NotFound: no such desktop or host. InvalidOperation while somebody has it in work, and
        where the host has no room for it.
        NotSupported where the hosts share no disks. HostUnavailable; what the hosts refuse.
        """
        record = self._find(name)
        source, target = self._hosts.get(record.host), self._hosts.get(destination)
        if target is source:
            return
        self._require_way(source, target)
        with self._lock:
            self._require_rest(record)
            self._under_way.add(record.name)
        try:
            if record.moving_to and self._is_gone(record.mover):  # it could not be settled then
                self._settle_one(record)
                record = self._find(name)
                source = self._hosts.get(record.host)
            if source is not target:
                self._require_room(record, source, target)
                self._carry_out(self._intend(record, target.name), source, target)
        finally:
            self._under_way.discard(record.name)

    def plan(self, name: str, destination: str) -> Plan:
        """What ``move`` would do now; nothing changes. Raises as ``move``, but for what no more
        than the hosts refuse.
        """
        record = self._find(name)
        source, target = self._hosts.get(record.host), self._hosts.get(destination)
        if source is target:
            there = PlannedDesktop(record.name, target.name, ReasonCode.AS_ASKED, note="is there")
            return Plan(record.collection, PlannedChange.MOVE, seconds=0, desktops=(there,))
        self._require_way(source, target)
        self._require_rest(record)
        need = self._require_room(record, source, target)
        self._store.change_desktop(record.name, partial(_require_same, record), idle=True)
        self._require_free(record)
        note = f"goes on running, comes from {source.name}" if need else f"is off, on {source.name}"
        desktop = PlannedDesktop(record.name, target.name, ReasonCode.AS_ASKED, note=note)
        return Plan(
            collection=record.collection,
            action=PlannedChange.MOVE,
            basis=UNMEASURED,
            hosts=(describe_target(target, [Target(target.name, need)]),),
            desktops=(desktop,),
        )

    def _require_way(self, source: ports.Host, target: ports.Host) -> None:
        if not source.is_shared_with(target):
            raise errors.NotSupported(f"{source.name} and {target.name} share no disks")
        for host in (source, target):
            self._health.require(host.name)

    def _require_rest(self, record: Desktop) -> None:
        if record.name in self._under_way | self._settling:
            raise errors.InvalidOperation(f"desktop {record.name} is being moved")

    def _require_room(self, record: Desktop, source: ports.Host, target: ports.Host) -> int:
        """Returns the memory that it needs there, in MiB."""
        vm = source.find_vm(record.name)
        if vm and vm.state is VmState.SAVED:
            raise errors.InvalidOperation(f"{vm.name} is saved: it must be started first")
        need = vm.memory_mib if vm and vm.state in LIVE else 0
        room = self._surveyor.measure(target)
        if not room.takes(need):
            raise errors.InvalidOperation(room.describe(need))
        return need

    def _find(self, name: str) -> Desktop:
        record = self._store.find_desktop(name)
        if record is None:
            raise errors.NotFound(f"there is no desktop {name!r}")
        return record

    def _intend(self, record: Desktop, target: str) -> Desktop:
        """From now on no pool and no job takes it in hand; one that was quicker keeps it."""

        def intend(present: Desktop | None) -> Desktop | None:
            return replace(_require_same(record, present), moving_to=target, mover=self._service)

        intended = self._store.change_desktop(record.name, intend, idle=True) or record
        try:
            self._require_free(record)
        except errors.InvalidOperation:
            self._conclude(intended, intended.host)
            raise
        return intended

    def _require_free(self, record: Desktop) -> None:
        use = self._store.find_use(record.name)
        if use and use.use in (Use.PREPARING, Use.WORK):
            raise errors.InvalidOperation(f"desktop {record.name} is in work")

    def _carry_out(self, record: Desktop, source: ports.Host, target: ports.Host) -> None:
        _log.info("a desktop moves", desktop=record.name, host=source.name, target=target.name)
        try:
            source.migrate(record.name, record.uuid, target)
        except errors.RdmsError:
            if not self._settle_one(record):
                self._settle_later()
            raise
        try:
            self._conclude(record, target.name)
        except errors.InvalidOperation:  # a job has just begun to delete it, where it was
            target.migrate(record.name, record.uuid, source)
            self._conclude(record, source.name)
            raise

    def _settle_one(self, record: Desktop) -> bool:
        """Whether it is settled."""
        try:
            source, target = self._hosts.get(record.host), self._hosts.get(record.moving_to)
            claimed = self._claim(record)
            moved = source.settle_move(record.name, record.uuid, target)
            self._conclude(claimed, target.name if moved else source.name)
        except errors.RdmsError as error:
            _log.warning("a desktop is on its way", desktop=record.name, error=str(error))
            return False
        return True

    def _claim(self, record: Desktop) -> Desktop:
        """From now on it is for this service to settle: who did so after another one had, would end
        the next move. InvalidOperation when it is settled, or another's.
        """

        def claim(present: Desktop | None) -> Desktop | None:
            if present is None or _way_of(present) != _way_of(record):
                raise errors.InvalidOperation(f"desktop {record.name} has just changed")
            return replace(present, mover=self._service)

        return self._store.change_desktop(record.name, claim) or record

    def _conclude(self, record: Desktop, host: str) -> None:
        """It is there, and on record so. InvalidOperation when a job wants it where it was."""

        def conclude(present: Desktop | None) -> Desktop | None:
            if present is None or _way_of(present) != _way_of(record):
                return present
            return replace(present, host=host, moving_to="", mover="")

        self._store.change_desktop(record.name, conclude, idle=host != record.host)
        self._uses.announce([record.name])

    def _hear_of_host(self, host: str, absence: Absence | None) -> None:
        if absence is None:
            self.settle_soon()


def describe_target(host: ports.Host, moved: Iterable[Target]) -> PlannedHost:
    """What a host would get of what moves there: disks stay where they are."""
    needs = [one.need_mib for one in moved if one.host == host.name]
    free = host.describe().free_bytes
    return PlannedHost(host.name, len(needs), 0, 0, free_bytes=free, memory_mib=sum(needs))


def _require_same(record: Desktop, present: Desktop | None) -> Desktop:
    """As it is on record now: nothing has happened to it since it was read, and it is at rest."""
    if present is None or (present.uuid, present.host) != (record.uuid, record.host):
        raise errors.InvalidOperation(f"desktop {record.name} has just changed")
    if present.moving_to:
        raise errors.InvalidOperation(f"{record.name} is moving to {present.moving_to}")
    return present


def _way_of(record: Desktop) -> tuple[object, ...]:
    return record.uuid, record.host, record.moving_to, record.mover


def _memory_of(host: ports.Host, name: str) -> int:
    """What a VM uses now, in MiB: 0 when it is off."""
    vm = host.find_vm(name)
    return vm.memory_mib if vm and vm.state in LIVE else 0
