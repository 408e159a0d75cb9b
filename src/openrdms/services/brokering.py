"""Brokering: which desktop of a collection a user gets when he connects.

First the one that he has, then the one assigned to him, then a spare; then he waits in line.
Nobody is given a desktop by two threads: what decides are conditional changes of the store.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Protocol

import structlog

from openrdms import metrics, ports
from openrdms.jobs.tokens import Tokens
from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmState
from openrdms.model.reason import ReasonCode, Wait, parse_reason, render_reason
from openrdms.model.waiting_line import LAPSE_SECONDS, Standing
from openrdms.services.access import Access, Person, judge
from openrdms.services.alone import ALONE
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import Absence, HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.reaching import Reaching, StepTimes
from openrdms.services.releasing import empty_guest
from openrdms.services.session_watch import SessionWatch
from openrdms.services.waiting_lines import LinesInMemory, WaitingLines

_ASK_AGAIN_SECONDS = LAPSE_SECONDS / 3
"""Who waits in a call keeps his place by asking so often."""

_LINES_SERVED_AT_ONCE = 8

_COMING = (Use.UNREADY, Use.PREPARING, Use.READY, Use.WORK)
"""Desktops that may be somebody's without anybody logging off."""

_log = structlog.get_logger(__name__)


class How(StrEnum):
    """Why this desktop."""

    OWN = "own"
    ASSIGNED = "assigned"
    SPARE = "spare"


@dataclass(frozen=True)
class User:
    """Somebody who connects: an account, and how descriptors see it.

    ``domain`` is what he says, and proves nothing: it only finds what was assigned to him, or where
    he is logged on, under that domain.
    """

    name: str
    domain: str
    person: Person

    @property
    def holder(self) -> str:
        """Whom desktops are handed out to, as ``DesktopUse.holder`` has it: the account."""
        return self.name

    @property
    def names(self) -> tuple[str, ...]:
        """Holders that he may be."""
        return (self.name, f"{self.domain}\\{self.name}") if self.domain else (self.name,)


@dataclass(frozen=True)
class Connection:
    """The desktop to connect to; it runs and its guest is up. See ``DesktopUse.stay``."""

    desktop: str
    host: str
    how: How
    stay: int


@dataclass(frozen=True)
class Outlook:
    """What somebody would come to by connecting, as far as records and memory tell.

    ``desktop`` is the one that he has or, when not ``is_held``, that is assigned to him; "" for
    none. ``wait`` is None when he would get one at once, or start his own; else what he waits
    for when he ``is_waiting`` in line, or would.
    """

    desktop: str = ""
    is_held: bool = False
    wait: Wait | None = None
    is_waiting: bool = False


class Refused(errors.AccessDenied):
    """He gets no desktop here, however long he waits; ``reason`` is what its words begin with."""

    def __init__(self, reason: ReasonCode, words: str) -> None:
        super().__init__(render_reason(reason, words))
        self.reason = reason


_Key = tuple[str, str]
"""Collection and holder, case-folded."""


class Pools(Protocol):
    """What brokering asks of who prepares spares."""

    def set_waiting(self, collection: str, count: int) -> None:
        """So many wait for a desktop now."""

    def stopped(self, collection: str) -> str:
        """Why it prepares none, "" when it does."""

    def seconds(self, collection: str) -> float | None:
        """How long a preparation takes; None while that is not known."""


@dataclass(frozen=True)
class Parts:
    """What brokering is made of. ``identify`` as in FirstStart."""

    store: ports.Store
    hosts: Hosts
    uses: DesktopUses
    access: Access
    health: HostHealth
    tokens: Tokens
    watch: SessionWatch
    pools: Pools
    clock: ports.Clock
    identify: Callable[[str], None]
    members: ports.MemberStore = ALONE
    times: StepTimes | None = None


class Brokering:
    """Safe from any thread."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._hosts = parts.hosts
        self._uses = parts.uses
        self._access = parts.access
        self._health = parts.health
        self._watch = parts.watch
        self._pools = parts.pools
        self._clock = parts.clock
        places = parts.store if parts.members.me else LinesInMemory()
        self._lines = WaitingLines(self._note_count, places, parts.members)
        basics = (parts.hosts, parts.health, parts.tokens, parts.clock)
        self._reaching = Reaching(*basics, self._wake_holder, parts.identify, parts.times)
        self._lock = threading.Lock()
        self._listening: dict[_Key, set[threading.Event]] = {}
        self._listeners: list[tuple[Callable[[str], None], Callable[[str], None]]] = []
        self._servers = ThreadPoolExecutor(_LINES_SERVED_AT_ONCE, thread_name_prefix="broker")
        parts.uses.subscribe(self._hear, lambda _name: bool(self._listening))
        parts.health.subscribe(self._note_host)

    def find_user(self, name: str, domain: str) -> User:
        """The account of that name as somebody who connects. NotFound."""
        return User(name, domain, self._access.get_person(name))

    def connect(self, user: User, collection: str, wait: float = 0.0) -> Connection | Wait:
        """A desktop for the user, or what he waits for; he asks again to keep his place in line.

        Waits at most ``wait`` seconds for one. NotFound; Refused; what a host refused.
        """
        begun, result = time.monotonic(), "refused"
        try:
            answer = self._find_in_time(user, collection, wait)
            result = answer.how if isinstance(answer, Connection) else "wait"
            return answer
        finally:
            metrics.CONNECT_SECONDS.labels(result).observe(time.monotonic() - begun)

    def _find_in_time(self, user: User, collection: str, wait: float) -> Connection | Wait:
        if wait <= 0:
            return self._find_desktop(user, collection)
        deadline = time.monotonic() + wait
        with self._woken(user, collection) as woken:
            while True:
                woken.clear()
                answer = self._find_desktop(user, collection)
                left = deadline - time.monotonic()
                if isinstance(answer, Connection) or left <= 0:
                    return answer
                woken.wait(min(left, _ASK_AGAIN_SECONDS))

    def look(self, user: User, collection: str) -> Outlook:
        """What he would come to; it changes nothing and asks no host. NotFound; Refused."""
        found = self._admit(user, collection)
        held = self._find_held(found.alias, user)
        if held:
            return Outlook(held.name, is_held=True)
        if found.type is CollectionType.POOLED:
            return self._look_for_spare(user, found)
        return self._look_for_own(user, found)

    def is_waiting(self, user: User, collection: str) -> bool:
        """Whether he has a place in its line; whether there is such a collection or not."""
        return self._lines.find(collection, user.holder) is not None

    def leave(self, user: User, collection: str) -> None:
        """He waits no more; having no place is fine."""
        if self.is_waiting(user, collection):
            self._lines.leave(collection, user.holder)

    def keep_places(self, holder: str) -> None:
        """As if he had asked again wherever he waits."""
        self._lines.keep(holder)

    def subscribe(self, holder: Callable[[str], None], line: Callable[[str], None]) -> None:
        """Tell ``holder`` of one, case-folded, when what he waits for may be there, and ``line``
        of a collection in whose line people have come or gone. Both must be quick.
        """
        self._listeners.append((holder, line))

    def hear_lines(self, collections: Iterable[str]) -> None:
        """At other services somebody has come to these lines, or left them."""
        for collection in collections:
            self._lines.count(collection)

    def release(self, user: User, collection: str) -> None:
        """He is done: he waits no more, is logged off, and what he has is made ready for others.

        Having nothing is fine. HostUnavailable and SessionError keep him logged on.
        """
        self._lines.leave(collection, user.holder)
        held = self._find_held(collection, user)
        if held is None:
            return
        host = self._hosts.get(held.host)
        vm = host.find_vm(held.name)
        if vm and vm.state is VmState.RUNNING:
            empty_guest(host, held.name)
        give_back = partial(_give_back, held=held, now=self._clock())
        self._uses.change([held.name], give_back)

    def _admit(self, user: User, alias: str) -> Collection:
        collection = self._store.find_collection(alias)
        if collection is None:
            raise errors.NotFound(f"there is no collection {alias!r} of virtual desktops")
        descriptor = collection.security_descriptor
        verdict = judge([descriptor] if descriptor else [], user.person)
        if not verdict.allowed:
            words = f"{user.holder} may not use collection {alias!r}: {verdict.reason}"
            raise Refused(ReasonCode.NO_ACCESS, words)
        return collection

    def _find_desktop(self, user: User, alias: str) -> Connection | Wait:
        collection = self._admit(user, alias)
        held = self._find_held(alias, user)
        answer = self._return_to(user, held, collection) if held else None
        if answer:
            return answer
        if collection.type is CollectionType.POOLED:
            return self._find_spare(user, collection)
        return self._find_own(user, collection)

    def _find_held(self, alias: str, user: User) -> DesktopUse | None:
        found = (self._store.find_held(alias, name) for name in user.names)
        return next(filter(None, found), None)

    def _return_to(
        self, user: User, held: DesktopUse, collection: Collection
    ) -> Connection | Wait | None:
        """Back to what he has; None when he has it no more."""
        wait = self._reaching.reach(held)
        if wait:
            return wait
        come_back = partial(_come_back, user=user, held=held, now=self._clock())
        back = self._uses.change([held.name], come_back)
        return _connect(back[0], _how(held, collection)) if back else None

    def _find_spare(self, user: User, collection: Collection) -> Connection | Wait:
        alias = collection.alias
        spare = None if self._lines.count(alias) else self._take_ready(alias, user.holder)
        if spare is None:
            standing = self._lines.ask(alias, user.holder)
            if standing.is_new or standing.position == 1:
                # What became ready before he stood in line told nobody.
                self._serve(alias, self._hand_spare)
            spare = self._store.find_held(alias, user.holder)
            if spare is None:
                return self._explain(collection, standing)
        # What was made fresh runs, and its guest has answered; what others left may be off.
        runs = spare.resets and not spare.saved
        wait = None if runs else self._reaching.reach(spare)
        return wait or _connect(spare, How.SPARE)

    def _look_for_spare(self, user: User, collection: Collection) -> Outlook:
        alias = collection.alias
        ready = self._watch.is_checked(alias) and self._count_there(alias).get(Use.READY)
        if ready and not self._lines.count(alias):
            return Outlook()
        standing, is_waiting = self._look_at_line(user, alias)
        return Outlook(wait=self._explain(collection, standing), is_waiting=is_waiting)

    def _look_at_line(self, user: User, alias: str) -> tuple[Standing, bool]:
        """Where he would stand, and whether he stands there already."""
        standing = self._lines.find(alias, user.holder)
        last = Standing(self._lines.count(alias) + 1, is_new=True, waited=0.0)
        return standing or last, standing is not None

    def _take_ready(self, alias: str, holder: str) -> DesktopUse | None:
        """A spare that nobody has touched."""
        while self._watch.is_checked(alias):
            use = self._uses.take_ready(alias, holder, self._reaching.away())
            if use is None or use.seen or use.saved or self._watch.confirm(use):
                return use
            _log.warning(
                "a spare is not handed out: it was touched, or its guest is silent",
                desktop=use.name,
            )
        return None

    def _serve(self, alias: str, hand: Callable[[str, str], bool]) -> None:
        """Hand what there is to those who wait longest."""
        with self._lines.serving(alias) as people:
            for holder in people:
                if not hand(alias, holder):
                    return
                self._lines.leave(alias, holder)

    def _hand_spare(self, alias: str, holder: str) -> bool:
        # Asked first: of a thousand who come at once each would begin a transaction.
        ready = self._store.count_uses(alias).get(Use.READY)
        return bool(ready) and self._take_ready(alias, holder) is not None

    def _hand_own(self, alias: str, holder: str) -> bool:
        """Assign him one under no domain: who waits in line is an account."""
        if self._store.assign_free(alias, holder, "", self._reaching.away()) is None:
            return False
        self._wake((alias.casefold(), holder.casefold()))
        return True

    def _explain(self, collection: Collection, standing: Standing) -> Wait:
        alias, position = collection.alias, standing.position
        since = self._since(standing)
        stopped = self._pools.stopped(alias)
        if stopped:
            return Wait(ReasonCode.POOL_STOPPED, stopped, since, position)
        if not _is_coming(self._count_there(alias)):
            if absence := self._find_absence(alias):
                return Wait(ReasonCode.HOST_AWAY, absence.words, since, position)
            words = f"all desktops of {alias} are in use"
            return Wait(ReasonCode.NO_DESKTOP_LEFT, words, since, position)
        one = self._pools.seconds(alias)
        seconds = None if one is None else self._lines.estimate(alias, position, one)
        words = f"no desktop of {alias} is ready"
        return Wait(ReasonCode.NO_DESKTOP_READY, words, since, position, seconds)

    def _since(self, standing: Standing) -> datetime:
        return self._clock() - timedelta(seconds=standing.waited)

    def _count_there(self, alias: str) -> Mapping[Use, int]:
        """How many desktops of each use are on hosts that answer."""
        away = self._reaching.away()
        if not away:
            return self._store.count_uses(alias)
        counts: Counter[Use] = Counter()
        for host, uses in self._store.count_uses_by_host(alias).items():
            counts.update(uses if host not in away else {})
        return counts

    def _find_absence(self, alias: str) -> Absence | None:
        """Of a host that is away, with desktops that may be somebody's when it is back."""
        away = self._reaching.away()
        for host, uses in self._store.count_uses_by_host(alias).items() if away else ():
            if host in away and _is_coming(uses):
                return self._health.status(host)
        return None

    def _find_own(self, user: User, collection: Collection) -> Connection | Wait:
        desktop = self._find_assigned(user, collection) or self._assign(user, collection.alias)
        if isinstance(desktop, Wait):
            return desktop
        move_in = partial(_move_in, user=user, now=self._clock())
        taken = self._uses.change([desktop.name], move_in)
        if taken:
            return self._reaching.reach(taken[0]) or _connect(taken[0], How.ASSIGNED)
        return self._explain_taken(desktop.name)

    def _assign(self, user: User, alias: str) -> Desktop | Wait:
        """One that is his under another domain, or is nobody's when it is his turn."""
        if self._lines.count(alias):
            his = self._find_his(user, alias)
        else:
            away = self._reaching.away()
            his = self._store.assign_free(alias, user.name, user.domain, away)
        if his:
            return his
        standing = self._lines.ask(alias, user.holder)
        if standing.is_new or standing.position == 1:
            # What became free before he stood in line told nobody.
            self._serve(alias, self._hand_own)
        return self._find_his(user, alias) or self._explain_nothing_free(user, alias, standing)

    def _find_his(self, user: User, alias: str) -> Desktop | None:
        found = self._store.find_free(alias, user.name, user.domain)
        return found if found and found.user is not None else None

    def _look_for_own(self, user: User, collection: Collection) -> Outlook:
        desktop = self._find_assigned(user, collection)
        if desktop is None:
            alias, away = collection.alias, self._reaching.away()
            desktop = self._store.find_free(alias, user.name, user.domain, away)
            if desktop and desktop.user is None and not self._lines.count(alias):
                return Outlook()
            if desktop is None or desktop.user is None:
                standing, is_waiting = self._look_at_line(user, alias)
                wait = self._explain_nothing_free(user, alias, standing)
                return Outlook(wait=wait, is_waiting=is_waiting)
        use = self._store.find_use(desktop.name)
        is_free = use and _move_in(use, user, use.since)
        return Outlook(desktop.name, wait=None if is_free else self._explain_taken(desktop.name))

    def _explain_nothing_free(self, user: User, alias: str, standing: Standing) -> Wait:
        """There is no telling when an administrator makes one, or takes one from somebody."""
        since, position = self._since(standing), standing.position
        away = self._reaching.away()
        free = self._store.find_free(alias, user.name, user.domain) if away else None
        absence = self._health.status(free.host) if free and free.host in away else None
        if absence:
            return Wait(ReasonCode.HOST_AWAY, absence.words, since, position)
        words = f"every desktop of {alias} has its user"
        return Wait(ReasonCode.NO_DESKTOP_LEFT, words, since, position)

    def _find_assigned(self, user: User, collection: Collection) -> Desktop | None:
        """None where one that is free would be assigned to him. Refused."""
        found = self._store.find_assigned(collection.alias, user.name, user.domain)
        if found is None and collection.type is CollectionType.MANUAL_PERSONAL:
            whom = f"no desktop of {collection.alias!r} is assigned to {user.names[-1]}"
            words = f"{whom}: only an administrator can do that"
            raise Refused(ReasonCode.NOT_ASSIGNED, words)
        return found

    def _explain_taken(self, name: str) -> Wait:
        use = self._store.find_use(name)
        if use is None:
            raise errors.NotFound(f"desktop {name} has just been deleted")
        if use.use is Use.TAKEN:
            words = f"{use.holder} is in {use.name}"
            return Wait(ReasonCode.USER_LOGGED_ON, words, use.since)
        if use.use is Use.QUARANTINED:
            code, words = parse_reason(use.reason)
            reason = ReasonCode(code) if code else ReasonCode.NO_DESKTOP_READY
            return Wait(reason, f"{use.name}: {words}", use.since)
        return Wait(ReasonCode.DESKTOP_IN_WORK, f"a job has {use.name} in work", use.since)

    def _hear(self, use: DesktopUse) -> None:
        self._lines.hear(use)
        alias = use.collection.casefold()
        self._wake((alias, use.holder.casefold()))
        if _may_be_next(use) and self._lines.count(alias):
            self._servers.submit(self._serve_safely, alias)

    def _note_host(self, _host: str, absence: Absence | None) -> None:
        """Whatever somebody waits for may be on a host that is back."""
        if absence is None:
            with self._lock:
                for event in set().union(*self._listening.values()):
                    event.set()

    def _serve_safely(self, alias: str) -> None:
        try:
            collection = self._store.find_collection(alias)
            if collection and collection.type is CollectionType.POOLED:
                self._serve(alias, self._hand_spare)
            elif collection and collection.type is CollectionType.AUTO_PERSONAL:
                self._serve(alias, self._hand_own)
        except errors.RdmsError as error:  # who is first tries again when he asks
            _log.warning("nobody served", collection=alias, error=str(error))

    def _wake_holder(self, use: DesktopUse) -> None:
        self._wake((use.collection.casefold(), use.holder.casefold()))

    @contextmanager
    def _woken(self, user: User, alias: str) -> Iterator[threading.Event]:
        """An event that is set when something changes that he may wait for.

        Who stands in line is told when it is his turn. Who waits until somebody leaves the personal
        desktop that is his hears of any that is left.
        """
        event = threading.Event()
        collection = self._store.find_collection(alias)
        pooled = collection is None or collection.type is CollectionType.POOLED
        holders = [user.holder] if pooled else [user.holder, ""]
        keys = [(alias.casefold(), holder.casefold()) for holder in holders]
        with self._lock:
            for key in keys:
                self._listening.setdefault(key, set()).add(event)
        try:
            yield event
        finally:
            with self._lock:
                for key in keys:
                    self._listening[key].discard(event)
                    if not self._listening[key]:
                        del self._listening[key]

    def _wake(self, key: _Key) -> None:
        with self._lock:
            for event in self._listening.get(key, ()):
                event.set()
        if key[1]:
            for listener, _ in self._listeners:
                listener(key[1])

    def _note_count(self, collection: str, count: int) -> None:
        self._pools.set_waiting(collection, count)
        for _, listener in self._listeners:
            listener(collection)


def _may_be_next(use: DesktopUse) -> bool:
    """Whether somebody in line may get it: a spare, or a personal one that is nobody's."""
    unassigned = use.use is Use.UNREADY and not (use.resets or use.assigned)
    return use.use is Use.READY or unassigned


def _is_coming(counts: Mapping[Use, int]) -> bool:
    return any(counts.get(use) for use in _COMING)


def _connect(use: DesktopUse, how: How) -> Connection:
    return Connection(use.name, use.host, how, use.stay)


def _how(held: DesktopUse, collection: Collection) -> How:
    """He may have been told to wait before, and so never have been on it."""
    if held.seen:
        return How.OWN
    return How.SPARE if collection.type is CollectionType.POOLED else How.ASSIGNED


def _come_back(use: DesktopUse, user: User, held: DesktopUse, now: datetime) -> DesktopUse | None:
    """``asked`` too if he had just logged on: from here on it is the one that he is given, whatever
    domain his guest names.
    """
    if use.use is not Use.TAKEN or use.holder.casefold() != held.holder.casefold():
        return None
    back = replace(use, asked=True, turn=use.turn + 1, since=now, saved=False)
    return replace(back, holder=user.holder)


def _move_in(use: DesktopUse, user: User, now: datetime) -> DesktopUse | None:
    """Into his personal desktop, in which nobody is but he: a guest may name another domain."""
    his = use.use is Use.TAKEN and use.holder.rpartition("\\")[2].casefold() == user.name.casefold()
    if use.claim or not (his or use.use in (Use.READY, Use.UNREADY)):
        return None
    return replace(use, use=Use.TAKEN, since=now, holder=user.holder, asked=True, turn=use.turn + 1)


def _give_back(use: DesktopUse, held: DesktopUse, now: datetime) -> DesktopUse | None:
    """Unless he, or somebody else, has come to it meanwhile."""
    if (use.use, use.turn) != (Use.TAKEN, held.turn):
        return None
    nobody = {"holder": "", "asked": False, "seen": False}
    return replace(use, use=Use.UNREADY, since=now, **nobody)  # type: ignore[arg-type]  # fields of a use
