"""What is to be done with the desktops of a collection that nobody has in hand.

Rules over values: what is so now goes in, what to do and when to look again comes out. Whoever
carries a decision out does so only if the desktop is still as it was when that was decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from openrdms.model.desktop_use import DesktopUse, Use

EXPIRY = timedelta(hours=24)
"""How long a spare stays good: updates of its programs, tickets and passwords grow old in it."""

GRACE = timedelta(minutes=10)
"""How long a desktop waits for the user who got it to log on."""

MOST_FAILURES = 3
"""How often one desktop may fail to be prepared; then it is put apart."""

RETRY = timedelta(seconds=10)
"""Pause after the first failure of a desktop; twice as long after the next."""

EXPIRING_SHARE = 10
"""One in so many READY desktops is made anew at a time, at least one."""

NOT_MADE_HERE = "was not made by this service, so it cannot be reset"


class Step(StrEnum):
    """What is done with one desktop, and which use it has while that goes on or after it."""

    PREPARE = "prepare"
    SAVE = "save"
    RESUME = "resume"
    EXPIRE = "expire"
    LEAVE_OFF = "leave off"
    TAKE_BACK = "take back"
    PUT_APART = "put apart"


@dataclass(frozen=True, slots=True)
class Decision:
    """``use`` is what the desktop was when this was decided."""

    step: Step
    use: DesktopUse


@dataclass(frozen=True)
class Plan:
    """``due`` is when there will be more to do although nothing happens; None for never."""

    decisions: tuple[Decision, ...]
    due: datetime | None


@dataclass(frozen=True)
class PoolRules:
    """What a collection's settings say, but whether it resets desktops, which each use knows.

    ``image`` is NAME@VERSION of what its desktops should have, "" while that is not decided.
    """

    pooled: bool
    save_delay: timedelta
    image: str = ""


@dataclass(frozen=True)
class HostRoom:
    """One host that is there. ``idle_count`` is this pool's share of what an administrator set for
    the host (``share_idle``), None for nothing; ``room`` how many more desktops may be prepared on
    it now.
    """

    idle_count: int | None
    room: int


@dataclass(frozen=True)
class Situation:
    """Everything a decision hangs on.

    ``hosts`` has those that are there, by the name that uses have. ``waiting`` users have got no
    desktop yet. ``allowance`` is how many preparations may begin, None for no limit.
    """

    uses: Sequence[DesktopUse]
    rules: PoolRules
    hosts: Mapping[str, HostRoom]
    now: datetime
    waiting: int = 0
    allowance: int | None = None


def use_after(use: DesktopUse) -> tuple[Use, str]:
    """What a running desktop is once its user has left, and the reason when it is put apart."""
    if not use.resets:
        return Use.READY, ""
    return (Use.QUARANTINED, NOT_MADE_HERE) if use.adopted else (Use.UNREADY, "")


def share_idle(count: int, able: Mapping[str, int]) -> dict[str, int]:
    """How many of the spares that are to be kept running on a host are to be of which pool: as many
    of each, as far as it is ``able`` to have so many there; who is first by name has one more.
    """
    left, level = count, 0
    for at, most in enumerate(sorted(able.values())):
        step = min(most - level, left // (len(able) - at))
        level += step
        left -= step * (len(able) - at)
        if level < most:
            break
    shares = {}
    for pool in sorted(able):
        more = able[pool] > level and left > 0
        shares[pool] = min(able[pool], level) + more
        left -= more
    return shares


def can_be_spare(use: DesktopUse, *, pooled: bool) -> bool:
    """Whether it may run for nobody yet: of a personal collection only what does so already."""
    if use.claim or use.adopted:
        return False
    if not pooled:
        return use.use is Use.READY and not use.saved
    return use.use in (Use.READY, Use.UNREADY, Use.PREPARING)


def decide(situation: Situation) -> Plan:
    """At most one decision for each desktop; none for those that a job has or wants."""
    return _Deciding(situation).plan()


class _Deciding:
    """``decided`` are names of desktops with a decision; ``dues`` when others come up."""

    def __init__(self, now: Situation) -> None:
        self.now = now
        self.decisions: list[Decision] = []
        self.decided: set[str] = set()
        self.dues: list[datetime] = []
        self._by_use: dict[Use, list[DesktopUse]] = {use: [] for use in Use}
        for use in now.uses:
            if not use.claim and use.host in now.hosts:
                self._by_use[use.use].append(use)
        self._ready = [use for use in self._by_use[Use.READY] if not use.adopted]

    def plan(self) -> Plan:
        self._put_apart()
        self._take_back()
        if self.now.rules.pooled:
            self._expire()
            self._resume()
            self._prepare()
        self._save()
        return Plan(tuple(self.decisions), min(self.dues, default=None))

    def _decide(self, step: Step, use: DesktopUse) -> None:
        self.decisions.append(Decision(step, use))
        self.decided.add(use.name)

    def _is_due(self, at: datetime) -> bool:
        """Whether that time has come; else it is remembered."""
        if at > self.now.now:
            self.dues.append(at)
        return at <= self.now.now

    def _put_apart(self) -> None:
        for use in (*self._by_use[Use.READY], *self._by_use[Use.UNREADY]):
            if use.adopted and use.resets:
                self._decide(Step.PUT_APART, use)

    def _take_back(self) -> None:
        for use in self._by_use[Use.TAKEN]:
            if not use.seen and self._is_due(use.since + GRACE):
                self._decide(Step.TAKE_BACK, use)

    def _expire(self) -> None:
        """Those of another image and the oldest, a few at a time: there must be spares meanwhile.

        Where desktops are not made anew after each user, age is no reason.
        """
        oldest = sorted(self._ready, key=lambda use: (not self._is_stale(use), use.fresh))
        under_way = len(self._by_use[Use.PREPARING]) + sum(
            not use.left_off for use in self._by_use[Use.UNREADY]
        )
        most = max(1, len(oldest) // EXPIRING_SHARE) - under_way
        for use in oldest[: max(0, most)]:
            old = use.resets and self._is_due(use.fresh + EXPIRY)
            if old or self._is_stale(use):
                self._decide(Step.EXPIRE, use)

    def _is_stale(self, use: DesktopUse) -> bool:
        return bool(use.image and self.now.rules.image) and use.image != self.now.rules.image

    def _resume(self) -> None:
        """Saved spares where fewer run than an administrator wants."""
        running = self._count_spares()
        for use in self._left(self._ready, lambda use: use.fresh):
            wanted = self.now.hosts[use.host].idle_count or 0
            if use.saved and running[use.host] < wanted:
                running[use.host] += 1
                self._decide(Step.RESUME, use)

    def _prepare(self) -> None:
        coming = len(self._by_use[Use.PREPARING]) + len(self._left(self._ready))
        lacking = self.now.waiting - coming
        left = self.now.allowance
        spares = self._count_spares()
        rooms = Counter({name: host.room for name, host in self.now.hosts.items()})
        for use in self._candidates():
            if left == 0:
                return
            if lacking <= 0 and not self._is_wanted(use, spares):
                self._leave_off(use)
                continue
            if rooms[use.host] <= 0:
                continue
            self._decide(Step.PREPARE, use)
            rooms[use.host] -= 1
            spares[use.host] += 1
            lacking -= 1
            left = None if left is None else left - 1

    def _candidates(self) -> list[DesktopUse]:
        """UNREADY ones whose time has come: those that did not fail first, and that ran."""
        unready = self._left(
            self._by_use[Use.UNREADY], lambda use: (use.failures, use.left_off, use.since)
        )
        return [
            use
            for use in unready
            if not use.failures or self._is_due(use.since + RETRY * 2 ** (use.failures - 1))
        ]

    def _is_wanted(self, use: DesktopUse, spares: Counter[str]) -> bool:
        """Without a count all are kept running but those that somebody left off."""
        idle_count = self.now.hosts[use.host].idle_count
        return not use.left_off if idle_count is None else spares[use.host] < idle_count

    def _leave_off(self, use: DesktopUse) -> None:
        """What a user has left must not go on running until somebody needs the desktop."""
        if use.resets and not use.left_off:
            self._decide(Step.LEAVE_OFF, use)

    def _save(self) -> None:
        """Those that nobody wanted for long, the longest first, beyond the idle count."""
        running: dict[str, list[DesktopUse]] = {}
        for use in self._left(self._ready, lambda use: use.since):
            if not use.saved:
                running.setdefault(use.host, []).append(use)
        for host, spares in running.items():
            beyond = len(spares) - (self.now.hosts[host].idle_count or 0)
            for use in spares[: max(0, beyond)]:
                if self._is_due(use.since + self.now.rules.save_delay):
                    self._decide(Step.SAVE, use)

    def _count_spares(self) -> Counter[str]:
        """Spares that run or are about to, by host."""
        running = [use.host for use in self._left(self._ready) if not use.saved]
        coming = [use.host for use in self._by_use[Use.PREPARING]]
        begun = [one.use.host for one in self.decisions if one.step in (Step.PREPARE, Step.RESUME)]
        return Counter([*running, *coming, *begun])

    def _left(
        self, uses: Iterable[DesktopUse], key: Callable[[DesktopUse], Any] | None = None
    ) -> list[DesktopUse]:
        """Those without a decision that are ours to decide on, in order of ``key``."""
        left = [use for use in uses if use.name not in self.decided and not use.adopted]
        return sorted(left, key=key) if key else left


@dataclass(frozen=True)
class Breaker:
    """Stops a pool whose preparations keep failing, and tries one after a while.

    ``opened`` is when it stopped for ``pause``; None while it works. Times are those of the
    service's clock.
    """

    failures: int = 0
    opened: datetime | None = None
    pause: timedelta = timedelta()
    reason: str = ""

    MOST = 5
    FIRST_PAUSE = timedelta(seconds=30)
    LONGEST_PAUSE = timedelta(minutes=10)

    @property
    def due(self) -> datetime | None:
        """When the next one may be tried; None while it works."""
        return None if self.opened is None else self.opened + self.pause

    def allowance(self, now: datetime, under_way: int) -> int | None:
        """How many preparations may begin while so many are under way; None for no limit."""
        if self.due is None:
            return None
        return 1 if now >= self.due and not under_way else 0

    def fail(self, now: datetime, reason: str) -> Breaker:
        """After a preparation that failed. Those that were under way when it opened are heard,
        but only the one that was tried after a pause makes the next pause longer.
        """
        failures = self.failures + 1
        if self.due is not None and now < self.due:
            return Breaker(failures, self.opened, self.pause, reason)
        if failures < self.MOST:
            return Breaker(failures, reason=reason)
        pause = min(2 * self.pause, self.LONGEST_PAUSE) or self.FIRST_PAUSE
        return Breaker(failures, now, pause, reason)
