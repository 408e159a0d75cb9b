"""What has changed lately."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.change import Kind
from openrdms.services import changes as module
from openrdms.services.changes import Changes

DESKTOPS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=30)


@given(DESKTOPS, DESKTOPS)
def test_each_thing_once_in_order_of_its_last_change(before: list[str], after: list[str]) -> None:
    changes = Changes()
    changes.publish(Kind.DESKTOP, before)
    position = changes.position
    for key in after:
        changes.publish(Kind.DESKTOP, [key])
    found = changes.since(position)
    assert found is not None
    assert [one.key for one in found] == list(dict.fromkeys(reversed(after)))[::-1]
    if found:
        assert changes.name(found[-1]) == changes.position
        assert changes.since(changes.position) == []


def test_kinds_are_apart() -> None:
    changes = Changes()
    position = changes.position
    changes.publish(Kind.JOB, ["x"])
    changes.publish(Kind.HOST, ["x"])
    assert [(one.kind, one.key) for one in changes.since(position) or ()] == [
        (Kind.JOB, "x"),
        (Kind.HOST, "x"),
    ]


def test_what_is_no_position_of_this_service() -> None:
    changes = Changes()
    changes.publish(Kind.JOB, ["x"])
    epoch = changes.position.rpartition("-")[0]
    for text in ("", "0", "-", f"{epoch}-", f"{epoch}-2", f"{epoch}-x", "another-0", f"{epoch}--1"):
        assert changes.since(text) is None, text


def test_who_was_away_too_long_is_told_so() -> None:
    changes = Changes()
    position = changes.position
    changes.publish(Kind.DESKTOP, [f"d{number}" for number in range(module.KEPT)])
    assert len(changes.since(position) or ()) == module.KEPT
    later = changes.position
    changes.publish(Kind.DESKTOP, ["one more"])
    assert changes.since(position) is None
    assert [one.key for one in changes.since(later) or ()] == ["one more"]


def test_one_thing_that_changes_all_the_time_pushes_nothing_out() -> None:
    changes = Changes()
    position = changes.position
    changes.publish(Kind.HOST, ["quiet"])
    for _ in range(3):
        changes.publish(Kind.DESKTOP, ["busy"] * module.KEPT)
    assert [one.key for one in changes.since(position) or ()] == ["quiet", "busy"]


def test_whoever_waits_is_woken_once() -> None:
    changes = Changes()
    woken = threading.Semaphore(0)
    changes.wake_once(changes.position, woken.release)
    changes.publish(Kind.JOB, ["x"])
    changes.publish(Kind.JOB, ["y"])
    assert woken.acquire(timeout=0)
    assert not woken.acquire(timeout=0)


def test_who_asks_late_is_woken_at_once() -> None:
    changes = Changes()
    position = changes.position
    changes.publish(Kind.JOB, ["x"])
    woken = threading.Event()
    changes.wake_once(position, woken.set)
    assert woken.is_set()


def test_who_has_left_is_not_woken() -> None:
    changes = Changes()
    woken = threading.Event()
    changes.wake_once(changes.position, woken.set)
    changes.let_sleep(woken.set)
    changes.let_sleep(woken.set)
    changes.publish(Kind.JOB, ["x"])
    assert not woken.is_set()
