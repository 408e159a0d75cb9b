"""Who has which desktop, kept in memory for while the records are away.

What changes is left out at once, and read again within a few seconds, so nobody finds here what was
taken from him. It is good for a short time after it was read: who is cut off
from the records is not told what others decide meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.services.access import Access, judge
from openrdms.services.alone import ALONE

PERIOD = 5.0
"""Seconds from one read of what has changed to the next."""

GOOD_SECONDS = 75.0
"""For how long it holds after the last read: pools leave users who are away theirs for longer."""

_log = structlog.get_logger(__name__)


class LocalCopy:
    """Safe from any thread. Where a service is alone its records are never away, and this is
    empty.
    """

    def __init__(
        self,
        store: ports.Store,
        access: Access,
        members: ports.MemberStore = ALONE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` in seconds; it never goes back."""
        self._store = store
        self._access = access
        self._members = members
        self._clock = clock
        self._lock = threading.Lock()
        self._uses: dict[str, DesktopUse] = {}
        self._descriptors: dict[str, str | None] = {}
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

    def find(self, desktop: str, account: str) -> DesktopUse | None:
        """The use of a desktop that this account has, and may use."""
        with self._lock:
            use = self._uses.get(desktop.casefold())
        return use if use and self._is_his(use, account) else None

    def list(self, account: str) -> list[DesktopUse]:
        """All of them, in order of name."""
        with self._lock:
            known = [*self._uses.values()]
        return sorted((one for one in known if self._is_his(one, account)), key=_name)

    def read(self) -> None:
        """Bring it up to date, by what has changed. RecordsUnavailable."""
        began = self._clock()
        with self._lock:
            changed, self._heard = self._heard, set()
            was_whole, self._is_whole = self._is_whole, True
        names = [key for kind, key in changed if kind is Kind.DESKTOP] if was_whole else None
        try:
            uses = self._store.list_uses(use=Use.TAKEN, names=names)
            collections = self._store.list_collections()
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
            self._descriptors = {
                one.alias.casefold(): one.security_descriptor for one in collections
            }
            for kind, key in self._heard:
                self._leave_out(kind, key)
            self.read_at = began

    def forget(self) -> None:
        """Nobody knows what has changed since it was read."""
        with self._lock:
            self._is_whole = False
            self._uses.clear()
            self._descriptors.clear()

    def hear(self, kind: Kind, keys: Sequence[str]) -> None:
        """These have changed, whoever changed them (ports.RecordListener)."""
        if kind in (Kind.DESKTOP, Kind.COLLECTION):
            with self._lock:
                for key in keys:
                    self._heard.add((kind, key.casefold()))
                    self._leave_out(kind, key.casefold())

    def _is_his(self, use: DesktopUse, account: str) -> bool:
        if use.holder.casefold() != account.casefold():
            return False
        if self._clock() - self.read_at > GOOD_SECONDS:
            return False
        with self._lock:
            descriptor = self._descriptors.get(use.collection.casefold())
        try:
            person = self._access.get_person(account)
        except errors.NotFound:
            return False
        return judge([descriptor] if descriptor else [], person).allowed

    def _leave_out(self, kind: Kind, key: str) -> None:
        if kind is Kind.DESKTOP:
            self._uses.pop(key, None)
        else:
            self._descriptors.pop(key, None)

    def _run(self) -> None:
        while True:
            try:
                self.read()
                self._back()
            except errors.RecordsUnavailable:
                pass  # it is for that
            except Exception:  # noqa: BLE001  a defect may not end the reads
                _log.exception("the local copy could not be read")
            time.sleep(PERIOD)


def _name(use: DesktopUse) -> str:
    return use.name.casefold()
