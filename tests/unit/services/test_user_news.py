"""What users' pages are told, and whose places are kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fakes.brokering_rig import BrokeringRig, open_brokering_rig
from live.service import until
from openrdms.model.change import Kind
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import Use
from openrdms.services.user_news import UserNews

POOL = (Kind.LINE, "pool")


class Told:
    """What was published."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: set[tuple[Kind, str]] = set()

    def publish(self, kind: Kind, keys: Sequence[str]) -> None:
        with self._lock:
            self._told |= {(kind, key) for key in keys}

    def await_(self, *wanted: tuple[Kind, str]) -> None:
        """They are told, and forgotten here."""
        until(f"{wanted} are told", lambda: self._told.issuperset(wanted))
        with self._lock:
            self._told.clear()

    def __contains__(self, one: tuple[Kind, str]) -> bool:
        return one in self._told


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BrokeringRig]:
    with open_brokering_rig(tmp_path, "start_ms=30", "boot_ms=30") as rig:
        rig.add_collection("pool", CollectionType.POOLED)
        yield rig


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def news(rig: BrokeringRig, told: Told) -> Iterator[UserNews]:
    place = rig.place
    news = UserNews(place.store, rig.brokering, rig.uses, place.hosts, period=0.01)
    news.start(told.publish)
    yield news
    news.close()


def test_who_gets_or_loses_a_desktop_is_told(rig: BrokeringRig, news: UserNews, told: Told) -> None:
    rig.add_ready("vd-1")
    told.await_(POOL)
    ann = rig.add_user("Ann")
    rig.connect(ann)
    told.await_((Kind.OWN, "ann"), POOL)
    rig.place.hosts.get("host1").save("vd-1")
    told.await_((Kind.OWN, "ann"))
    rig.make("vd-1", Use.UNREADY)
    told.await_((Kind.OWN, "ann"))
    rig.make("vd-1", Use.PREPARING)
    assert POOL not in told


def test_a_line_that_grows_is_told(rig: BrokeringRig, news: UserNews, told: Told) -> None:
    rig.brokering.connect(rig.add_user("ann"), "pool")
    told.await_(POOL)
    rig.brokering.leave(rig.add_user("bob"), "pool")
    assert POOL not in told
    rig.brokering.connect(rig.add_user("cid"), "pool")
    told.await_(POOL)


def test_places_of_who_looks_are_kept(
    rig: BrokeringRig, news: UserNews, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []
    monkeypatch.setattr(rig.brokering, "keep_places", kept.append)
    ann = rig.add_user("ann")
    with news.present(ann), news.present(ann):
        until("his place is kept", lambda: len(kept) > 2)
    assert set(kept) == {"ann"}


def test_what_one_would_come_to(rig: BrokeringRig) -> None:
    ann, bob = rig.add_user("ann"), rig.add_user("bob")
    look = rig.brokering.look
    first = look(ann, "pool")
    assert first.wait and (first.wait.position, first.is_waiting) == (1, False)
    assert not rig.brokering.is_waiting(ann, "pool")
    rig.brokering.connect(ann, "pool")
    waiting, behind = look(ann, "pool"), look(bob, "pool")
    assert waiting.wait and (waiting.wait.position, waiting.is_waiting) == (1, True)
    assert behind.wait and (behind.wait.position, behind.is_waiting) == (2, False)
    rig.brokering.leave(ann, "pool")
    rig.add_ready("vd-1")
    assert look(bob, "pool").wait is None
    rig.connect(bob)
    assert (look(bob, "pool").desktop, look(bob, "pool").is_held) == ("vd-1", True)
