"""What was seen of sessions: for how long, over what, of whom."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.host import GuestSession
from openrdms.services import last_seen
from openrdms.services.last_seen import Key, LastSeen, Seen

DESK = Key("host1", "desk-1")
ALICE = GuestSession("1", "boot/1", "alice", "", 0)
BOB = GuestSession("2", "boot/2", "bob", "", 4)


@pytest.fixture
def seen() -> LastSeen:
    return LastSeen()


def test_an_active_session_before_one_without_a_client(seen: LastSeen) -> None:
    seen.note(time.monotonic(), [(DESK, [BOB, ALICE])])
    assert seen.find(DESK) == Seen("alice", 0)


def test_a_guest_in_which_nobody_is_any_more(seen: LastSeen) -> None:
    seen.note(time.monotonic(), [(DESK, [ALICE])])
    seen.note(time.monotonic(), [(DESK, [])])
    assert seen.find(DESK) is None


def test_what_is_older_than_a_minute_is_not_told_nor_kept(seen: LastSeen) -> None:
    now = time.monotonic()
    seen.note(now - last_seen.SECONDS - 1, [(DESK, [ALICE])])
    assert seen.find(DESK) is None
    seen.note(now, [])
    assert not seen._looks, "a cache that grows shows nowhere else"


def test_guests_that_did_not_answer_keep_what_was_seen(seen: LastSeen) -> None:
    seen.note(time.monotonic(), [(DESK, [ALICE])])
    seen.note(time.monotonic(), [(Key("host1", "desk-2"), [BOB])])
    assert seen.find(DESK) == Seen("alice", 0)


@given(st.permutations(range(4)))
def test_the_newest_question_decides_in_whatever_order_answers_come(order: list[int]) -> None:
    seen, begun = LastSeen(), time.monotonic()
    sessions = [GuestSession("1", str(number), str(number), "", 0) for number in range(4)]
    for number in order:
        seen.note(begun - 4 + number, [(DESK, [sessions[number]])])
    assert seen.find(DESK) == Seen("3", 0)


def test_what_was_asked_before_it_was_forgotten_is_not_told(seen: LastSeen) -> None:
    asked_at = time.monotonic()
    seen.forget(DESK)
    seen.note(asked_at, [(DESK, [ALICE])])
    assert seen.find(DESK) is None
