"""Who may have which desktop: the one place where that changes, and where others hear of it.

Every change is conditional on what the desktop is now, in one transaction, so of several that
want it one gets it. Listeners are told after the commit, in the thread that made the change: they
must be quick, and may not change uses themselves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use

Listener = Callable[[DesktopUse], None]

Wants = Callable[[str], bool]
"""Whether a desktop, by its case-folded name, is to be told of when another service changes it."""

_PART = 500
"""Desktops that are read at a time."""

_PAUSE = 1.0
"""Seconds until records are tried again that could not be written."""

_SAME = ("uuid", "use", "since", "turn")
"""By what a use is known to be the one that somebody looked at."""

_log = structlog.get_logger(__name__)


class DesktopUses:
    """Safe from any thread."""

    def __init__(self, store: ports.Store, clock: ports.Clock) -> None:
        self._store = store
        self._clock = clock
        self._listeners: list[tuple[Listener, Wants]] = []
        self._in_work: list[frozenset[str]] = []
        self._in_hand: set[str] = set()

    def subscribe(
        self, listener: Listener, wants: Wants = lambda _name: True
    ) -> Callable[[], None]:
        """Tell it of every use that has changed, as it is then; returns how to end it.

        Of what other services change it is told what anybody ``wants``, some time after it.
        """
        entry = (listener, wants)
        self._listeners.append(entry)
        return lambda: self._listeners.remove(entry)

    def count(self, collection: str) -> Mapping[Use, int]:
        """See ports.DesktopUseStore."""
        return self._store.count_uses(collection)

    @contextmanager
    def in_work(self, names: Iterable[str]) -> Iterator[None]:
        """In the block these desktops are in the hands of a job of this service, or not there yet.

        Records say so too; this costs nothing to ask.
        """
        keys = frozenset(name.casefold() for name in names)
        self._in_work.append(keys)
        try:
            yield
        finally:
            self._in_work.remove(keys)

    def take_in_hand(self, name: str) -> None:
        """A pool of this service prepares that desktop from now on, until ``let_go``."""
        self._in_hand.add(name.casefold())

    def let_go(self, name: str) -> None:
        """It is about to have its next use."""
        self._in_hand.discard(name.casefold())

    def is_in_work(self, key: str) -> bool:
        """Whether a job or a pool of this service is known to have the desktop of that case-folded
        name in hand.
        """
        return key in self._in_hand or any(key in keys for keys in tuple(self._in_work))

    def take_ready(
        self, collection: str, holder: str, away: Collection[str] = ()
    ) -> DesktopUse | None:
        """See ports.DesktopUseStore."""
        taken = self._store.take_ready(collection, holder, self._clock(), away)
        if taken:
            self._tell([taken])
        return taken

    def move(
        self,
        names: Iterable[str],
        use: Use,
        *,
        of: Collection[Use],
        **values: object,
    ) -> list[DesktopUse]:
        """Bring those that are in one of ``of`` now to ``use``; returns them as they are then.

        ``values`` are other fields, see ``DesktopUse.becoming``.
        """
        now = self._clock()

        def change(before: DesktopUse) -> DesktopUse | None:
            return before.becoming(use, now, **values) if before.use in of else None

        return self.change(names, change)

    def turn(self, was: DesktopUse, use: Use, **values: object) -> DesktopUse | None:
        """Bring one to ``use`` unless it has become another's, or anything else, since ``was``.

        ``values`` are other fields. Returns it as it is then, None when it was left alone. What was
        to become READY as it is becomes UNREADY when its collection resets desktops since ``was``.
        """
        now = self._clock()

        def change(before: DesktopUse) -> DesktopUse | None:
            if any(getattr(before, name) != getattr(was, name) for name in _SAME):
                return None
            if use is Use.READY and not was.is_good_for(before):
                return before.becoming(Use.UNREADY, now, **{**values, "saved": False})
            return before.becoming(use, now, **values)

        changed = self.change([was.name], change)
        return changed[0] if changed else None

    def give_back(self, mine: DesktopUse, use: Use, **values: object) -> None:
        """``turn`` one that is PREPARING by our hand, in which it would stay otherwise until the
        service starts again. RecordsUnavailable: it is done as soon as they are back.
        """
        turn = partial(self.turn, mine, use, **values)
        try:
            turn()
        except errors.RecordsUnavailable:
            threading.Thread(target=_insist, args=(turn,), name="give-back", daemon=True).start()
            raise

    def change(
        self, names: Iterable[str], change: Callable[[DesktopUse], DesktopUse | None]
    ) -> list[DesktopUse]:
        """See ports.DesktopUseStore.change_uses. What moves to another host stays out of hands."""
        changed = self._store.change_uses(names, lambda use: _unless_moving(use, change(use)))
        self._tell(changed)
        return changed

    def announce(self, names: Iterable[str]) -> None:
        """Tell what is on record now of desktops whose uses a job has changed with its rows."""
        told = list(names)
        for at in range(0, len(told), _PART):
            self._tell(self._store.list_uses(names=told[at : at + _PART]))

    def hear(self, names: Iterable[str]) -> None:
        """Other services have changed these: tell what is on record now of those that matter."""
        wants = [wants for _, wants in self._listeners]
        self.announce(name for name in names if any(want(name.casefold()) for want in wants))

    def hear_all(self) -> None:
        """Nobody knows what others have changed."""
        self.hear([use.name for use in self._store.list_uses()])

    def _tell(self, changed: Iterable[DesktopUse]) -> None:
        for use in changed:
            for listener, _ in tuple(self._listeners):
                try:
                    listener(use)
                except Exception:  # noqa: BLE001  whatever one does, the others are told
                    _log.exception("a listener failed", desktop=use.name)


def _insist(turn: Callable[[], object]) -> None:
    """Until the records, which were away, can be written."""
    while True:
        time.sleep(_PAUSE)
        with suppress(errors.RecordsUnavailable):
            turn()
            return


def _unless_moving(before: DesktopUse, after: DesktopUse | None) -> DesktopUse | None:
    begun = after is not None and after.use is not before.use
    taken = begun and after is not None and after.use in (Use.PREPARING, Use.WORK)
    return None if before.moving and taken else after
