"""Where desktops go and what they are called: rules on values, decided once per job."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID, uuid5

from openrdms.model import errors
from openrdms.model.reason import ReasonCode

QEMU_MAC = "52:54:00"
"""Prefix of the MAC addresses of QEMU guests (locally administered)."""

MEMORY, DESKTOPS, STARTS, NO_IMAGE = 0.6, 0.2, 0.1, 0.1
"""What makes a host a worse choice: its shares of memory and of desktops in use, desktops that
other jobs start there, an image that would have to be copied first. Memory is what runs out."""

_AT_A_TIME = 100
"""Desktops being started that count as many: RDMS starts no more on one host."""


@dataclass(frozen=True)
class Room:
    """A host that can take desktops: how many VMs it may have and has, and its memory in MiB.

    ``used_mib`` counts what runs and what is to run; ``memory_mib`` is 0 for a host that does not
    tell. ``starting`` desktops of other jobs are to run and do not yet. A ``spared`` host gets
    what the service places only when no other has room.
    """

    host: str
    capacity: int
    used: int
    memory_mib: int = 0
    used_mib: int = 0
    starting: int = 0
    has_image: bool = True
    spared: bool = False

    def takes(self, need_mib: int) -> int:
        """How many more desktops it can take that need so much memory each, 0 for none."""
        free = self.capacity - self.used
        if need_mib and self.memory_mib:
            free = min(free, (self.memory_mib - self.used_mib) // need_mib)
        return max(0, free)

    def describe(self, need_mib: int) -> str:
        """How much more it can take, and what it lacks for more."""
        count = self.takes(need_mib)
        if count < self.capacity - self.used:
            free = max(0, self.memory_mib - self.used_mib)
            return f"{self.host} has memory for {count} more ({free} MiB, {need_mib} MiB each)"
        return f"{self.host} has room for {count} more ({self.used} of {self.capacity} VMs)"


class Place(NamedTuple):
    """The host of one desktop, and why it is that one."""

    host: str
    reason: ReasonCode


Wanted = Sequence[tuple[str | None, int]]
"""Pairs of host (None: any) and number of desktops."""


def require_room(wanted: Wanted, rooms: Sequence[Room], need_mib: int) -> None:
    """NoRoom says which host lacks what, when not all desktops fit."""
    free = {room.host: room.takes(need_mib) for room in rooms}
    by_name = {room.host: room for room in rooms}
    for host, count in wanted:
        if host is not None:
            free[host] -= count
            if free[host] < 0:
                raise _no_room([by_name[host]], need_mib)
    if sum(free.values()) < sum(count for host, count in wanted if host is None):
        raise _no_room(rooms, need_mib)


def _no_room(rooms: Sequence[Room], need_mib: int) -> errors.NoRoom:
    lacking = (room for room in rooms if room.takes(need_mib) < room.capacity - room.used)
    reason = ReasonCode.NO_MEMORY if any(lacking) else ReasonCode.NO_CAPACITY
    words = "; ".join(room.describe(need_mib) for room in rooms) or "no host takes desktops now"
    return errors.NoRoom("NumberVms", words, reason)


def place(wanted: Wanted, rooms: Sequence[Room], need_mib: int = 0) -> list[Place]:
    """A place for every desktop, in the order of ``wanted``.

    Named hosts are served first; each other desktop goes to the host that is the best choice by
    then. ``need_mib`` is the memory of a desktop that is to run, 0 for those that stay off.
    NoRoom, as ``require_room``.
    """
    require_room(wanted, rooms, need_mib)
    fillings = {room.host: _Filling(room, need_mib) for room in rooms}
    for host, count in wanted:
        if host is not None:
            fillings[host].add(count)
    best = _best_first(list(fillings.values()))
    placed: list[Place] = []
    for host, count in wanted:
        if host is None:
            chosen = itertools.islice(best, count)
            placed += (Place(one, ReasonCode.LEAST_LOADED) for one in chosen)
        else:
            placed += [Place(host, ReasonCode.AS_ASKED)] * count
    return placed


class _Filling:
    """A host while desktops are placed there."""

    def __init__(self, room: Room, need_mib: int) -> None:
        self.host = room.host
        self._room = room
        self._need = need_mib
        self._free = room.takes(need_mib)
        self._placed = 0

    @property
    def is_full(self) -> bool:
        return self._placed >= self._free

    def add(self, count: int) -> None:
        self._placed += count

    def score(self) -> tuple[bool, float]:
        """The host with the least is the best choice for one more."""
        room = self._room
        memory = room.used_mib + self._placed * self._need
        score = DESKTOPS * (room.used + self._placed) / max(1, room.capacity)
        score += MEMORY * memory / room.memory_mib if room.memory_mib else 0.0
        score += STARTS * min(1.0, room.starting / _AT_A_TIME)
        return room.spared, score + (0.0 if room.has_image else NO_IMAGE)


def _best_first(fillings: Sequence[_Filling]) -> Iterator[str]:
    """Hosts in the order in which to fill them, for as long as there is room."""
    queue = [(one.score(), order, one) for order, one in enumerate(fillings) if not one.is_full]
    heapq.heapify(queue)
    while queue:
        _, order, filling = queue[0]
        yield filling.host
        filling.add(1)
        if filling.is_full:
            heapq.heappop(queue)
        else:
            heapq.heapreplace(queue, (filling.score(), order, filling))


def choose_names(
    prefix: str, start: int, count: int, taken: Collection[str]
) -> tuple[list[str], int]:
    """``count`` names and the index after the last: prefix and index, taken ones skipped.

    ``taken`` is case folded.
    """
    free = (
        (index, f"{prefix}{index}")
        for index in itertools.count(start)
        if f"{prefix}{index}".casefold() not in taken
    )
    chosen = list(itertools.islice(free, count))
    return [name for _, name in chosen], chosen[-1][0] + 1 if chosen else start


def make_uuid(guid: str, name: str) -> UUID:
    """The uuid of a desktop of that job: the same at every planning of it."""
    return uuid5(UUID(guid.strip("{}")), name.casefold())


def make_identities(
    guid: str, names: Iterable[str], taken: Iterable[str]
) -> Iterator[tuple[UUID, str]]:
    """Uuid and MAC address of every name; no address twice, none of ``taken``."""
    macs = set(taken)
    for name in names:
        uuid = make_uuid(guid, name)
        mac = make_mac(uuid, macs)
        macs.add(mac)
        yield uuid, mac


def make_mac(uuid: UUID, taken: Collection[str]) -> str:
    """A MAC address from the uuid; the next of its series when one is taken."""
    return next(mac for mac in _mac_series(uuid) if mac not in taken)


def _mac_series(uuid: UUID) -> Iterator[str]:
    for attempt in itertools.count():
        octets = hashlib.sha256(uuid.bytes + attempt.to_bytes(4, "big")).digest()[:3]
        yield ":".join([QEMU_MAC, *(f"{octet:02x}" for octet in octets)])
