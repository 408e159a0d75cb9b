"""The rules of an update in waves: who is when, how many at a time, and what users are told.

Rules on values; what carries them out is services/provisioning/rollout.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from openrdms.model.desktop_use import Use
from openrdms.model.errors import InvalidParameter

NOTICES = (15, 5, 1)
"""Minutes before ForceLogOffTime at which users are told."""

DEFAULT_UNAVAILABLE = 25
"""Percent of an update's desktops that are in work at a time, before ForceLogOffTime."""

MAX_WAVES = 20
_MAX_NUMBER = 1_000_000
_SHARE = re.compile(r"([0-9]{1,7})(\s*%)?")


@dataclass(frozen=True)
class Share:
    """So many desktops, or so many percent of them."""

    number: int
    percent: bool = False

    def of(self, total: int) -> int:
        """How many that is of ``total``: rounded up, at least 1, at most all."""
        count = -(-self.number * total // 100) if self.percent else self.number
        return max(1, min(count, total))

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


ALL = Share(100, percent=True)


def parse_share(element: str, text: str) -> Share:
    """The inverse of ``str``. InvalidParameter names ``element``."""
    match = _SHARE.fullmatch(text.strip())
    share = Share(int(match[1]), percent=bool(match[2])) if match else Share(0)
    if not 0 < share.number <= (100 if share.percent else _MAX_NUMBER):
        raise InvalidParameter(element, f"{text!r} is neither a number above 0 nor 1% to 100%")
    return share


def parse_waves(element: str, text: str) -> tuple[Share, ...]:
    """Shares that grow, up to 100%, as in 1%,10%,100%. InvalidParameter names ``element``."""
    waves = tuple(parse_share(element, part) for part in text.split(","))
    if len(waves) > MAX_WAVES:
        raise InvalidParameter(element, f"{len(waves)} waves, more than {MAX_WAVES}")
    for kind in (True, False):
        numbers = [share.number for share in waves if share.percent is kind]
        if numbers != sorted(set(numbers)):
            raise InvalidParameter(element, f"{text!r}: each wave must be larger than the last")
    if waves[-1] != ALL:
        raise InvalidParameter(element, f"{text!r}: the last wave must be 100%")
    return waves


def render_waves(waves: Iterable[Share]) -> str:
    """The inverse of ``parse_waves``."""
    return ",".join(map(str, waves))


class Rank(IntEnum):
    """How much an update would disturb, the least first."""

    OFF = 0
    SPARE = 1
    OTHER = 2


def rank(use: Use | None, *, runs: bool) -> Rank:
    """Of a desktop with that use; ``runs`` also when nobody can say."""
    if use is Use.TAKEN:
        return Rank.OTHER
    if not runs:
        return Rank.OFF
    return Rank.SPARE if use is Use.READY else Rank.OTHER


def assign_waves(ranks: Sequence[Rank], waves: Sequence[Share]) -> list[int]:
    """The wave of each desktop, counted from 0: the lowest ranks first, else in their order.

    Each share says how many desktops are new when that wave has ended. Waves that would be
    empty are left out, so that the numbers have no gaps.
    """
    total = len(ranks)
    ends = sorted({share.of(total) for share in waves or (ALL,)})
    in_order = sorted(range(total), key=lambda at: (ranks[at], at))
    assigned = [0] * total
    begin = 0
    for number, end in enumerate(ends):
        for at in in_order[begin:end]:
            assigned[at] = number
        begin = end
    return assigned


def allowed(max_unavailable: Share | None, total: int, *, forced: bool) -> int:
    """How many of an update's desktops may be in work at a time."""
    if forced:
        return total
    return (max_unavailable or Share(DEFAULT_UNAVAILABLE, percent=True)).of(total)


def is_forced(force: datetime | None, now: datetime) -> bool:
    """Whether users are logged off; at once when there is no ``force``."""
    return force is None or now >= force


@dataclass(frozen=True)
class Notice:
    """What users are to be told now: ``minutes`` are those really left, rounded up.

    ``due`` is which of NOTICES it is: it and those before it count as sent then.
    """

    due: int
    minutes: int


def due_notice(force: datetime, now: datetime, sent: int | None) -> Notice | None:
    """The latest that is due and was not sent; ``sent`` is the last one that was."""
    if now >= force:
        return None
    due = [m for m in NOTICES if now >= force - timedelta(minutes=m) and (sent is None or m < sent)]
    if not due:
        return None
    left = -((now - force) // timedelta(minutes=1))
    return Notice(due=min(due), minutes=left)


def next_notice(force: datetime, now: datetime) -> datetime | None:
    """When the next one is due after ``now``; None after the last."""
    times = (force - timedelta(minutes=minutes) for minutes in NOTICES)
    return min((time for time in times if time > now), default=None)
