"""Where desktops go and what they are called: rules on values, decided once per job."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from openrdms.model import errors

QEMU_MAC = "52:54:00"
"""Prefix of the MAC addresses of QEMU guests (locally administered)."""


@dataclass(frozen=True)
class Room:
    """A host that can take desktops: how many VMs it may have and has."""

    host: str
    capacity: int
    used: int


def place(wanted: Sequence[tuple[str | None, int]], rooms: Sequence[Room]) -> list[str]:
    """A host for every desktop, in the order of ``wanted``: pairs of host (None: any) and count.

    Named hosts are served first; the rest goes where the share of used capacity is smallest.
    InvalidParameter NumberVms when there is no room.
    """
    used = {room.host: room.used for room in rooms}
    for host, count in wanted:
        if host is not None:
            used[host] += count
    for room in rooms:
        if used[room.host] > max(room.capacity, room.used):
            free = max(0, room.capacity - room.used)
            raise errors.InvalidParameter("NumberVms", f"{room.host} has room for {free} more")
    anywhere = _least_loaded([Room(r.host, r.capacity, used[r.host]) for r in rooms])
    placed: list[str] = []
    for host, count in wanted:
        placed += [host] * count if host else itertools.islice(anywhere, count)
    if len(placed) < sum(count for _, count in wanted):
        raise errors.InvalidParameter("NumberVms", "the hosts have no room for so many")
    return placed


def _least_loaded(rooms: Sequence[Room]) -> Iterator[str]:
    """Hosts in the order in which to fill them, for as long as there is room."""
    queue = [(r.used / r.capacity, order, r) for order, r in enumerate(rooms) if r.capacity > 0]
    heapq.heapify(queue)
    while queue:
        _, order, room = heapq.heappop(queue)
        if room.used < room.capacity:
            yield room.host
            room = Room(room.host, room.capacity, room.used + 1)
            heapq.heappush(queue, (room.used / room.capacity, order, room))


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


def make_mac(uuid: UUID, taken: Collection[str]) -> str:
    """A MAC address from the uuid; the next of its series when one is taken."""
    return next(mac for mac in _mac_series(uuid) if mac not in taken)


def _mac_series(uuid: UUID) -> Iterator[str]:
    for attempt in itertools.count():
        octets = hashlib.sha256(uuid.bytes + attempt.to_bytes(4, "big")).digest()[:3]
        yield ":".join([QEMU_MAC, *(f"{octet:02x}" for octet in octets)])
