"""Tells the pages that users have open of what concerns them, and keeps the places of who looks.

Whoever has a page open keeps his place in line without asking. Changes of a line, or of whether a
collection has a spare, concern all who look at it: the more look, the longer these are gathered,
so that their pages ask for no more than so many parts a second together.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmEvent
from openrdms.model.waiting_line import LAPSE_SECONDS
from openrdms.services.brokering import Brokering, User
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.hosts import Hosts

KEEP_SECONDS = LAPSE_SECONDS / 3

_GATHERED = 1.0
_VIEWS_A_SECOND = 20

_PAUSE = 1.0
"""Seconds until records that were away are asked again."""

_log = structlog.get_logger(__name__)

Publish = Callable[[Kind, Sequence[str]], None]


class UserNews:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.Store,
        brokering: Brokering,
        uses: DesktopUses,
        hosts: Hosts,
        period: float = KEEP_SECONDS,
    ) -> None:
        """``period`` in seconds: how often the places of those who are present are kept."""
        self._store = store
        self._brokering = brokering
        self._uses = uses
        self._hosts = hosts
        self._period = period
        self._lock = threading.Lock()
        self._present: Counter[str] = Counter()
        self._holders: dict[str, str] = {}
        self._spares: set[str] = set()
        self._due: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._is_wanted = False
        """Somebody has had a page open."""
        self._is_outdated = False
        """Other services changed something while nobody had."""
        self._woken = threading.Event()
        self._closed = False
        self._ends = ExitStack()

    def start(self, publish: Publish) -> None:
        """Publish what is news from now on."""
        self._publish = publish
        self._ends.callback(self._uses.subscribe(self._note_use, self._wants))
        self._ends.callback(self._hosts.subscribe(self._hear))
        self._brokering.subscribe(lambda holder: self._tell({holder}), self._gather)
        for use in self._store.list_uses(use=Use.TAKEN):
            self._holders.setdefault(use.name.casefold(), use.holder.casefold())
        threading.Thread(target=self._run, name="user-news", daemon=True).start()

    def close(self) -> None:
        """Tell nobody anything more."""
        self._ends.close()
        self._closed = True
        self._woken.set()

    @contextmanager
    def present(self, user: User) -> Iterator[None]:
        """While he has a page open."""
        key = user.holder
        with self._lock:
            self._present[key] += 1
            self._is_wanted = True
            if self._is_outdated:
                self._woken.set()
        try:
            yield
        finally:
            with self._lock:
                self._present[key] -= 1
                if not self._present[key]:
                    del self._present[key]

    def _wants(self, _name: str) -> bool:
        self._is_outdated |= not self._is_wanted
        return self._is_wanted

    def _note_use(self, use: DesktopUse) -> None:
        key, holder = use.name.casefold(), use.holder.casefold()
        with self._lock:
            before = self._holders.pop(key, "")
            if holder:
                self._holders[key] = holder
            was_spare = key in self._spares
            (self._spares.add if use.use is Use.READY else self._spares.discard)(key)
        self._tell({before, holder})
        if was_spare is not (use.use is Use.READY):
            self._gather(use.collection)

    def _hear(self, event: VmEvent) -> None:
        self._tell({self._holders.get(event.vm.casefold(), "")})

    def _tell(self, holders: set[str]) -> None:
        known = sorted(holders - {""})
        if known:
            self._publish(Kind.OWN, known)

    def _gather(self, collection: str) -> None:
        key = collection.casefold()
        with self._lock:
            pause = max(_GATHERED, self._present.total() / _VIEWS_A_SECOND)
            earliest = self._told.get(key, 0.0) + pause
            self._due.setdefault(key, max(time.monotonic(), earliest))
        self._woken.set()

    def _run(self) -> None:
        keep_at = time.monotonic() + self._period
        while not self._closed:
            with self._lock:
                next_at = min([keep_at, *self._due.values()])
            self._woken.wait(max(0.0, next_at - time.monotonic()))
            self._woken.clear()
            try:
                if self._is_wanted and self._is_outdated:
                    self._read_holders()
                self._publish_due()
                if time.monotonic() >= keep_at:
                    keep_at = time.monotonic() + self._period
                    self._keep_places()
            except errors.RecordsUnavailable as error:
                _log.warning("what is news is told later", reason=str(error))
                time.sleep(_PAUSE)
            except Exception:  # noqa: BLE001  whatever it was, the next news is told
                _log.exception("defect")

    def _read_holders(self) -> None:
        with self._lock:
            self._holders.clear()
            self._spares.clear()
        taken = self._store.list_uses(use=Use.TAKEN)
        with self._lock:
            self._is_outdated = False
            for use in taken:  # whatever was told since is newer
                self._holders.setdefault(use.name.casefold(), use.holder.casefold())

    def _publish_due(self) -> None:
        now = time.monotonic()
        with self._lock:
            due = sorted(one for one, at in self._due.items() if at <= now)
            for one in due:
                del self._due[one]
                self._told[one] = now
        if due:
            self._publish(Kind.LINE, due)

    def _keep_places(self) -> None:
        with self._lock:
            holders = [*self._present]
        for holder in holders:
            self._brokering.keep_places(holder)
