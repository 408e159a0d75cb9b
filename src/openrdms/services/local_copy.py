"""Who has which desktop, and whose is free, kept in memory for while the records are away.

What changes is left out at once, and read again within a few seconds, so nobody finds here what was
taken from him. It is good for a short time after it was read: who is cut off
from the records is not told what others decide meanwhile.

Somebody's own desktop that nobody is in is found as it will be when he has moved in, if it runs.
Only he can: several services that let him in agree on what they write when the records are back,
and if that is not to be any more, what he has opened ends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmState
from openrdms.security.late_records import LateRecords
from openrdms.services.access import Access, judge
from openrdms.services.alone import ALONE
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.hosts import Hosts

PERIOD = 5.0
"""Seconds from one read of what has changed to the next."""

GOOD_SECONDS = 75.0
"""For how long it holds after the last read: pools leave users who are away theirs for longer."""

MOVED_IN = "move in/records away"

_log = structlog.get_logger(__name__)


class LocalCopy:
    """Safe from any thread. Where a service is alone its records are never away, and this is
    empty.
    """

    def __init__(
        self,
        store: ports.Store,
        access: Access,
        hosts: Hosts,
        uses: DesktopUses,
        late_records: LateRecords,
        now: ports.Clock,
        members: ports.MemberStore = ALONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` in seconds; it never goes back."""
        self._now = now
        self._store = store
        self._access = access
        self._hosts = hosts
        self._desktop_uses = uses
        self._late_records = late_records
        self._members = members
        self._clock = clock
        self._lock = threading.Lock()
        self._uses: dict[str, DesktopUse] = {}
        self._collections: dict[str, Collection] = {}
        self._moved: dict[str, DesktopUse] = {}
        """As they will be on record, of those who have moved in while that was away."""
        self._listener: Callable[[DesktopUse], None] = lambda _use: None
        self._heard: set[tuple[Kind, str]] = set()
        """What has changed since the last read began."""
        self._is_whole = False
        """Whether all that has not changed since the last read is here."""
        self.read_at = float("-inf")
        self._back: Callable[[], None] = lambda: None

    def start(self, back: Callable[[], None]) -> None:
        """Keep it from now on; ``back`` is called whenever records have answered."""
        if self._members.me:
            self._back = back
            self._store.subscribe(self.hear)
            threading.Thread(target=self._run, name="local-copy", daemon=True).start()

    def subscribe(self, listener: Callable[[DesktopUse], None]) -> None:
        """Tell it of who moves in, before he is let in."""
        self._listener = listener

    def is_good(self) -> bool:
        """Whether what others have changed until lately is known."""
        return self._clock() - self.read_at <= GOOD_SECONDS

    def find(self, desktop: str, account: str) -> DesktopUse | None:
        """The use of a desktop that this account has, or will have by moving in, and may use."""
        key = desktop.casefold()
        return next((one for one in self.list(account) if one.name.casefold() == key), None)

    def list(self, account: str) -> list[DesktopUse]:
        """All of them, in order of name."""
        key = account.casefold()
        if not self.is_good():
            return []
        with self._lock:
            known = [self._moved_of(use) or use for use in self._uses.values()]
        held = [one for one in known if one.holder.casefold() == key]
        where = {one.collection.casefold() for one in held}
        own = [
            _moving_in(one, account)
            for one in known
            if one.assigned == f"\\{key}" and one.collection.casefold() not in where
            if self._is_free_and_runs(one)
        ]
        return sorted((one for one in held + own if self._may_use(one, account)), key=_name)

    def move_in(self, desktop: str, account: str) -> bool:
        """Whether he has it, or may move in and is now in. OperationFailed when that cannot be
        kept for the audit log.
        """
        use = self.find(desktop, account)
        if use is None:
            return False
        key = use.name.casefold()
        with self._lock:
            is_new = self._uses.get(key) != use and self._moved.get(key) != use
        if is_new:
            self._late_records.note(account, "", MOVED_IN, Name=use.name)
            with self._lock:
                self._moved[key] = use
            self._listener(use)
        return True

    def has_moved(self, desktop: str) -> bool:
        """Whether somebody has moved in, and that is not on record yet."""
        return desktop.casefold() in self._moved

    def foresee(self, use: DesktopUse) -> DesktopUse:
        """What is on record now, as it will be once it is written who has moved in."""
        with self._lock:
            return self._moved_of(use) or use

    def settle(self, desktop: str) -> None:
        """Write who has moved in, if he may now and nobody else was quicker. RecordsUnavailable."""
        key = desktop.casefold()
        moved = self._moved.get(key)
        if moved is None:
            return
        try:
            person = self._access.get_person(moved.holder)
            allowed = self._access.may_use(moved.collection, person).allowed
        except errors.NotFound:
            allowed = False
        if allowed:
            write = partial(_write, moved=moved, now=self._now())
            self._desktop_uses.change([moved.name], write)
        with self._lock:
            if self._moved.get(key) is moved:
                del self._moved[key]

    def read(self) -> None:
        """Bring it up to date, by what has changed. RecordsUnavailable."""
        began = self._clock()
        with self._lock:
            changed, self._heard = self._heard, set()
            was_whole, self._is_whole = self._is_whole, True
        names = [key for kind, key in changed if kind is Kind.DESKTOP] if was_whole else None
        try:
            collections = self._store.list_collections()
            uses = self._read_uses(collections, names)
        except errors.RdmsError:  # what is here holds meanwhile
            with self._lock:
                self._heard |= changed
                self._is_whole = self._is_whole and was_whole
            raise
        with self._lock:
            if not self._is_whole:  # something was missed meanwhile
                return
            if not was_whole:
                self._uses.clear()
            self._uses.update((use.name.casefold(), use) for use in uses)
            self._collections = {one.alias.casefold(): one for one in collections}
            for kind, key in self._heard:
                self._leave_out(kind, key)
            self.read_at = began

    def forget(self) -> None:
        """Nobody knows what has changed since it was read."""
        with self._lock:
            self._is_whole = False
            self.read_at = float("-inf")
            self._uses.clear()
            self._collections.clear()

    def hear(self, kind: Kind, keys: Sequence[str]) -> None:
        """These have changed, whoever changed them (ports.RecordListener)."""
        if kind in (Kind.DESKTOP, Kind.COLLECTION):
            with self._lock:
                for key in keys:
                    self._heard.add((kind, key.casefold()))
                    self._leave_out(kind, key.casefold())

    def _read_uses(
        self, collections: Sequence[Collection], names: Sequence[str] | None
    ) -> Sequence[DesktopUse]:
        """Of all, or of these, those that somebody has or may move into."""
        if names is not None:
            found = self._store.list_uses(names=names)
        else:
            found = self._store.list_uses(use=Use.TAKEN)
            for one in collections:
                if one.type is not CollectionType.POOLED:
                    found += self._store.list_uses(one.alias)
        return [one for one in found if one.use is Use.TAKEN or _is_free(one)]

    def _moved_of(self, use: DesktopUse) -> DesktopUse | None:
        """The same when somebody has moved in. With the lock."""
        moved = self._moved.get(use.name.casefold())
        return moved if moved and _may_become(use, moved) else None

    def _is_free_and_runs(self, use: DesktopUse) -> bool:
        with self._lock:
            collection = self._collections.get(use.collection.casefold())
        if collection is None or collection.type is CollectionType.POOLED:
            return False
        if use.moving or not _is_free(use):
            return False
        try:
            vm = self._hosts.get(use.host).find_vm(use.name)
        except errors.RdmsError:  # nobody can open it
            return False
        return vm is not None and vm.uuid == use.uuid and vm.state is VmState.RUNNING

    def _may_use(self, use: DesktopUse, account: str) -> bool:
        with self._lock:
            collection = self._collections.get(use.collection.casefold())
        descriptor = collection and collection.security_descriptor
        try:
            person = self._access.get_person(account)
        except errors.NotFound:
            return False
        return judge([descriptor] if descriptor else [], person).allowed

    def _leave_out(self, kind: Kind, key: str) -> None:
        if kind is Kind.DESKTOP:
            self._uses.pop(key, None)
        else:
            self._collections.pop(key, None)

    def _run(self) -> None:
        while True:
            try:
                self.read()
                for desktop in [*self._moved]:
                    self.settle(desktop)
                self._back()
            except errors.RecordsUnavailable:
                pass  # it is for that
            except Exception:  # noqa: BLE001  a defect may not end the reads
                _log.exception("the local copy could not be read")
            time.sleep(PERIOD)


def _name(use: DesktopUse) -> str:
    return use.name.casefold()


def _is_free(use: DesktopUse) -> bool:
    """Somebody's own, and nobody is in it, nor is a job to have it."""
    return bool(use.assigned) and use.use in (Use.READY, Use.UNREADY) and not use.claim


def _moving_in(use: DesktopUse, account: str) -> DesktopUse:
    """It as it will be; the store counts the stay in the same way."""
    turn, stay = use.turn + 1, use.stay + 1
    return replace(use, use=Use.TAKEN, holder=account, asked=True, turn=turn, stay=stay)


def _may_become(use: DesktopUse, moved: DesktopUse) -> bool:
    """Nothing has happened to it since: it is still free, and his."""
    same = (use.uuid, use.stay, use.assigned) == (moved.uuid, moved.stay - 1, moved.assigned)
    return same and _is_free(use)


def _write(use: DesktopUse, moved: DesktopUse, now: datetime) -> DesktopUse | None:
    if not _may_become(use, moved):
        return None
    return replace(_moving_in(use, moved.holder), since=now)
