"""Connections that are open to desktops now: each ends as soon as nobody may have it any more.

One belongs to a stay of somebody in a desktop (``DesktopUse.stay``) and to an account: the
holder's own, or that of one who looks over his shoulder. It is closed in the thread that ends the
stay, or changes the account, before that goes on: nobody looks at the next user's desktop. What
another service changes is told a moment later; while the records are away nothing can be, so what
is open then ends in time where desktops go from one user to the next, and at once where somebody
may log on who would have to be told.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.security.accounts import Accounts
from openrdms.services.alone import ALONE
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.local_copy import LocalCopy

PERIOD = 5.0
"""Seconds between two looks at all of them, for what is told to nobody."""

_PRESENCE = timedelta(minutes=1)
"""How often it is noted that somebody is there: well below ``pool_policy.GRACE``."""

_UNSEEN_SECONDS = 75.0
"""How long a connection to a pooled desktop outlives the records' last answer."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, eq=False)
class _Connection:
    desktop: str
    holder: str
    stay: int
    account: str
    close: Callable[[], None]
    may_go_on: Callable[[], bool]
    is_presence: bool
    came_first: bool

    def belongs_to(self, use: DesktopUse | None) -> bool:
        if use is None or (self.came_first and use.seen):
            return False
        return (use.holder.casefold(), use.stay) == (self.holder.casefold(), self.stay)


class LiveConnections:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.Store,
        uses: DesktopUses,
        accounts: Accounts,
        clock: ports.Clock,
        period: float = PERIOD,
        members: ports.MemberStore = ALONE,
        copy: LocalCopy | None = None,
    ) -> None:
        """``period`` in seconds. By the ``copy`` holders are let in while the records are away."""
        self._copy = copy
        self._store = store
        self._members = members
        self._is_pooled: dict[str, bool] = {}
        """Desktops to which something is open, where records may be away."""
        self._seen = time.monotonic()
        """When records answered last."""
        self._uses = uses
        self._accounts = accounts
        self._clock = clock
        self._period = period
        self._lock = threading.Lock()
        self._open: dict[str, set[_Connection]] = {}
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="connections", daemon=True)
        uses.subscribe(self._hear, lambda name: name in self._open)
        accounts.subscribe(self.recheck)
        if copy:
            copy.subscribe(self._hear)

    def start(self) -> None:
        """Begin to look at all of them regularly."""
        self._watcher.start()

    def stop(self) -> None:
        """Look no more."""
        self._closed.set()

    def hold(
        self,
        *,
        desktop: str,
        holder: str,
        stay: int,
        account: str,
        close: Callable[[], None],
        may_go_on: Callable[[], bool] = lambda: True,
        is_presence: bool = True,
        came_first: bool = False,
    ) -> Callable[[], None]:
        """Register a connection that is about to be opened; returns how to forget it.

        ``close`` is called when that stay, or the enabled account, is no more, at once if it is
        so already: from any thread, perhaps more than once. ``may_go_on`` is what else must hold;
        ``is_presence`` keeps the desktop its holder's although he has not logged on. Who looks on
        and ``came_first`` has been let in while nobody was logged on who could be told of him: he
        must go, and ask again, when the holder is seen there.
        """
        one = _Connection(desktop, holder, stay, account, close, may_go_on, is_presence, came_first)
        with self._lock:
            self._open.setdefault(desktop.casefold(), set()).add(one)
        self._check([one], is_new=True)
        return lambda: self._forget(one)

    def count(self, desktop: str) -> int:
        """How many are open to it."""
        return len(self._open.get(desktop.casefold(), ()))

    def total(self) -> int:
        """How many are open to all desktops."""
        return len(self._list())

    def recheck(self, account: str) -> None:
        """Something has changed about an account or its sessions."""
        key = account.casefold()
        self._check(one for one in self._list() if one.account.casefold() == key)

    def _hear(self, use: DesktopUse) -> None:
        use = self._copy.foresee(use) if self._copy else use
        for one in self._list(use.name):
            if not one.belongs_to(use):
                self._end(one)

    def _watch(self) -> None:
        while not self._closed.wait(self._period):
            for one in self._list():
                try:
                    self._check([one])
                except Exception:  # noqa: BLE001  whatever one does, the others are looked at
                    _log.exception("a connection could not be checked", desktop=one.desktop)
                    with suppress(Exception):  # fail closed, unless it is that which fails
                        self._end(one)

    def _check(self, connections: Iterable[_Connection], *, is_new: bool = False) -> None:
        for one in connections:
            try:
                if self._copy:
                    self._copy.settle(one.desktop)
                use = self._store.find_use(one.desktop)
                self._note_seen(use)
                if not one.belongs_to(use) or not self._may_go_on(one):
                    self._end(one)
                elif use and one.is_presence:
                    self._note_presence(use)
            except errors.RecordsUnavailable as error:
                if self._is_unseen(one) or (is_new and not self._is_known(one)):
                    _log.warning("connection closed", desktop=one.desktop, error=str(error))
                    self._end(one)
            except errors.RdmsError as error:  # fail closed: who may not be asked is not let in
                _log.warning("connection closed", desktop=one.desktop, error=str(error))
                self._end(one)

    def _note_seen(self, use: DesktopUse | None) -> None:
        self._seen = time.monotonic()
        if use and self._members.me and use.name.casefold() not in self._is_pooled:
            found = self._store.find_collection(use.collection)
            pooled = found is None or found.type is CollectionType.POOLED
            self._is_pooled[use.name.casefold()] = pooled

    def _is_known(self, one: _Connection) -> bool:
        """Whether he had the desktop when the records answered last."""
        use = self._copy.find(one.desktop, one.account) if self._copy else None
        return use is not None and one.belongs_to(use) and self._may_go_on(one)

    def _is_unseen(self, one: _Connection) -> bool:
        """Whether it may be another's by now, or somebody there who was told of nobody."""
        if one.came_first:
            return True
        may_change = self._is_pooled.get(one.desktop.casefold(), True)
        if self._copy:
            self._seen = max(self._seen, self._copy.read_at)
            may_change |= self._copy.has_moved(one.desktop)
        return may_change and time.monotonic() - self._seen > _UNSEEN_SECONDS

    def _may_go_on(self, one: _Connection) -> bool:
        return self._accounts.find(one.account) is not None and one.may_go_on()

    def _note_presence(self, use: DesktopUse) -> None:
        """Nobody's desktop is taken back while he is looking at it."""
        now = self._clock()
        if use.use is Use.TAKEN and not use.seen and now - use.since > _PRESENCE:
            self._uses.change([use.name], lambda present: _renew(present, use, now))

    def _end(self, one: _Connection) -> None:
        self._forget(one)
        one.close()

    def _forget(self, one: _Connection) -> None:
        key = one.desktop.casefold()
        with self._lock:
            self._open.get(key, set()).discard(one)
            if not self._open.get(key):
                self._open.pop(key, None)
                self._is_pooled.pop(key, None)

    def _list(self, desktop: str | None = None) -> list[_Connection]:
        with self._lock:
            if desktop is not None:
                return [*self._open.get(desktop.casefold(), ())]
            return [one for connections in self._open.values() for one in connections]


def _renew(present: DesktopUse, was: DesktopUse, now: datetime) -> DesktopUse | None:
    same = (present.use, present.stay, present.seen) == (Use.TAKEN, was.stay, False)
    return replace(present, since=now) if same else None
