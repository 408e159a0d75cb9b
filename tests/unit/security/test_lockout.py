"""When failures lock, for how long, and what is forgotten."""

import pytest

from openrdms.security import lockout
from openrdms.security.lockout import FIRST_LOCK, FREE_FAILURES, LONGEST_LOCK, Lockouts

HERE = "192.0.2.1"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lockouts(clock: Clock) -> Lockouts:
    return Lockouts(clock)


def fail(lockouts: Lockouts, name: str, times: int, address: str = HERE) -> None:
    for _ in range(times):
        lockouts.failed(name, address)


def test_the_first_failures_are_free(lockouts: Lockouts) -> None:
    fail(lockouts, "alice", FREE_FAILURES)
    assert lockouts.seconds_locked("alice", HERE) == 0


def test_each_further_one_locks_for_twice_as_long(lockouts: Lockouts, clock: Clock) -> None:
    fail(lockouts, "alice", FREE_FAILURES)
    found = []
    for _ in range(12):
        lockouts.failed("alice", HERE)
        found.append(lockouts.seconds_locked("alice", HERE))
        clock.now += found[-1]
        assert lockouts.seconds_locked("alice", HERE) == 0
    assert found == [min(FIRST_LOCK * 2**n, LONGEST_LOCK) for n in range(12)]


def test_case_and_address(lockouts: Lockouts) -> None:
    fail(lockouts, "Straße", FREE_FAILURES + 1)
    assert lockouts.seconds_locked("STRASSE", HERE)
    assert not lockouts.seconds_locked("Straße", "192.0.2.2")
    assert not lockouts.seconds_locked("bob", HERE)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "", True),
    ],
)
def test_a_network_of_ipv6_is_one_place(
    lockouts: Lockouts, one: str, other: str, *, same: bool
) -> None:
    fail(lockouts, "alice", FREE_FAILURES + 1, one)
    assert bool(lockouts.seconds_locked("alice", other)) is same


def test_success_forgets(lockouts: Lockouts) -> None:
    fail(lockouts, "alice", FREE_FAILURES)
    lockouts.succeeded("ALICE", HERE)
    fail(lockouts, "alice", FREE_FAILURES)
    assert lockouts.seconds_locked("alice", HERE) == 0


def test_time_forgets(lockouts: Lockouts, clock: Clock) -> None:
    fail(lockouts, "alice", FREE_FAILURES + 1)
    clock.now += FIRST_LOCK + LONGEST_LOCK + 1
    fail(lockouts, "alice", FREE_FAILURES)
    assert lockouts.seconds_locked("alice", HERE) == 0


def test_many_names_from_one_address_lock_it(lockouts: Lockouts) -> None:
    for number in range(lockout.FREE_FAILURES_OF_ADDRESS + 1):
        lockouts.failed(f"name{number}", HERE)
    assert lockouts.seconds_locked("somebody else", HERE)
    assert not lockouts.seconds_locked("somebody else", "192.0.2.2")
    lockouts.succeeded("somebody else", HERE)
    assert lockouts.seconds_locked("somebody else", HERE)


def test_one_name_that_goes_on_failing_does_not_lock_the_others(
    lockouts: Lockouts, clock: Clock
) -> None:
    for _ in range(lockout.FREE_FAILURES_OF_ADDRESS * 2):
        clock.now += lockouts.seconds_locked("a script", HERE)
        lockouts.failed("a script", HERE)
    assert lockouts.seconds_locked("a script", HERE)
    assert not lockouts.seconds_locked("alice", HERE)


def test_endless_names_are_not_kept(lockouts: Lockouts) -> None:
    fail(lockouts, "x" * 50_000, FREE_FAILURES + 1)
    assert lockouts.seconds_locked("x" * 50_000, HERE)
    assert all(len(name or "") < 1_000 for name, _ in lockouts._failures)


def test_memory_is_bounded(lockouts: Lockouts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "MAX_REMEMBERED", 100)
    fail(lockouts, "alice", FREE_FAILURES + 1)
    for number in range(200):
        lockouts.failed("bob", f"192.0.2.{number}")
    assert len(lockouts._failures) == 100
    assert not lockouts.seconds_locked("alice", HERE)


def test_refusals_are_counted_until_the_next_lock(lockouts: Lockouts) -> None:
    fail(lockouts, "alice", FREE_FAILURES + 1)
    assert [lockouts.refused("alice", HERE) for _ in range(3)] == [1, 2, 3]
    assert lockouts.lets_recall("alice", HERE)
    for _ in range(lockout.FREE_REFUSALS):
        lockouts.refused("alice", HERE)
    assert not lockouts.lets_recall("alice", HERE)
    assert lockouts.lets_recall("alice", "192.0.2.2")
    lockouts.failed("alice", HERE)
    assert lockouts.lets_recall("alice", HERE)
    assert lockouts.refused("alice", HERE) == 1
