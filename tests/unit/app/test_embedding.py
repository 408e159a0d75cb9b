"""Services with an embedded libvirt and without one do not meet on one database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from openrdms.app import embedding
from openrdms.app.embedding import hold_hosts
from openrdms.model.errors import InvalidOperation
from openrdms.model.member import Member
from openrdms.services.alone import ALONE, Alone

EMBEDDED, REMOTE = ["qemu:///embed?name=one"], ["qemu+tls://host1/system", "simulator:///x/embed"]


class Life(Alone):
    """One of those that share ``locks`` and know each other."""

    def __init__(self, me: str, known: dict[str, Life], locks: set[str]) -> None:
        self.me = me
        self.is_silent = False
        self._known, self._locks = known, locks
        known[me] = self

    def list_live(self) -> list[Member]:
        now = datetime.now(UTC)
        return [
            Member(one.me, one.me, "", "1", now, now - timedelta(minutes=one.is_silent))
            for one in self._known.values()
        ]

    @contextmanager
    def exclusive(self, what: str) -> Iterator[bool]:
        if what in self._locks:
            yield False
            return
        self._locks.add(what)
        try:
            yield True
        finally:
            self._locks.discard(what)


@pytest.fixture
def lives(monkeypatch: pytest.MonkeyPatch) -> list[Life]:
    monkeypatch.setattr(embedding, "_PATIENCE_SECONDS", 0.3)
    known: dict[str, Life] = {}
    locks: set[str] = set()
    return [Life("one", known, locks), Life("two", known, locks)]


def test_any_number_without_one(lives: list[Life]) -> None:
    with ExitStack() as held:
        for life in lives:
            held.enter_context(hold_hosts(life, REMOTE[:1]))


def test_one_beside_others_is_refused(lives: list[Life]) -> None:
    with pytest.raises(InvalidOperation, match="two"), hold_hosts(lives[0], EMBEDDED):
        pass


def test_others_beside_one_are_refused(lives: list[Life]) -> None:
    first, later = lives
    later.is_silent = True
    with hold_hosts(first, EMBEDDED):
        later.is_silent = False
        for hypervisors in (REMOTE[:1], EMBEDDED):
            with pytest.raises(InvalidOperation), hold_hosts(later, hypervisors):
                pass
    first.is_silent = True
    with hold_hosts(later, EMBEDDED):
        pass


def test_who_is_alone_is_not_asked() -> None:
    for hypervisors in (EMBEDDED, REMOTE):
        with hold_hosts(ALONE, hypervisors):
            pass
