"""How much is asked of a host at a time, and what a host that is in trouble is spared."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.job_work import with_slots
from openrdms.jobs.halt import Halt, Halted
from openrdms.jobs.tokens import JUDGED_CALLS, NORMAL, ROUND, Kind, Limit, Tokens
from openrdms.model import errors


def make_tokens(slots: int = 3, factor: int = 100, stops: int = 1, removals: int = 1) -> Tokens:
    return Tokens(with_slots(slots, stops, removals), lambda _: factor)


def together(*calls: Callable[[], object]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def test_no_more_calls_at_a_time_than_there_are_tokens() -> None:
    busy, most, lock = 0, 0, threading.Lock()
    tokens, three = make_tokens(slots=3, factor=3), threading.Barrier(3)

    def work() -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        three.wait(30)
        time.sleep(0.01)
        with lock:
            busy -= 1

    together(*[lambda: tokens.run("host", Kind.CLONE, work)] * 12)
    assert most == 3


def test_each_sort_has_as_many_as_the_host_says() -> None:
    tokens = make_tokens(slots=3, stops=6, removals=5)
    assert {kind: tokens.load("host", kind).limit for kind in Kind if kind is not Kind.AGENT} == {
        Kind.CLONE: 3,
        Kind.DEFINE: 3,
        Kind.START: 3,
        Kind.STOP: 6,
        Kind.REMOVE: 5,
        Kind.ABORT: 100,
        Kind.COPY: 1,
    }


def test_kinds_that_make_share_their_tokens_and_removals_have_their_own() -> None:
    tokens, gate = make_tokens(slots=1, factor=1), threading.Event()
    begun = threading.Event()

    def clone() -> None:
        begun.set()
        gate.wait(30)

    holder = threading.Thread(target=lambda: tokens.run("host", Kind.CLONE, clone))
    holder.start()
    assert begun.wait(30)
    assert tokens.run("host", Kind.STOP, lambda: 7) == 7
    assert tokens.run("host", Kind.REMOVE, lambda: 8) == 8
    assert tokens.run("other", Kind.START, lambda: 8) == 8
    started = threading.Event()
    waiter = threading.Thread(target=lambda: tokens.run("HOST", Kind.START, started.set))
    waiter.start()
    assert not started.wait(0.05)
    gate.set()
    assert started.wait(30)
    holder.join(30)
    waiter.join(30)


def test_who_waits_makes_the_call_himself_and_gives_its_token_on() -> None:
    tokens, gate = make_tokens(slots=1, factor=1), threading.Event()
    before = tokens.submit("host", Kind.STOP, gate.wait, 30)
    callers: dict[int, int] = {}

    def call(number: int) -> None:
        callers[number] = tokens.run("host", Kind.STOP, threading.get_ident)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    idents = [thread.ident for thread in threads]
    after = tokens.submit("host", Kind.STOP, threading.get_ident)
    gate.set()
    for thread in threads:
        thread.join(60)
    assert [callers[number] for number in range(2)] == idents
    assert before.result(60)
    assert after.result(60)


def test_users_go_first_and_then_who_is_closest_to_the_end() -> None:
    tokens, gate, begun = make_tokens(slots=1, factor=1), threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        begun.set()
        gate.wait(30)

    threads = [threading.Thread(target=lambda: tokens.run("host", Kind.CLONE, hold))]
    threads[0].start()
    assert begun.wait(30)
    for number, (kind, urgent) in enumerate(
        [(Kind.CLONE, False), (Kind.START, False), (Kind.CLONE, True)], 1
    ):
        name = "urgent" if urgent else str(kind)
        call = lambda n=name, k=kind, u=urgent: tokens.run("host", k, order.append, n, urgent=u)  # noqa: E731
        threads.append(threading.Thread(target=call))
        threads[-1].start()
        while tokens.load("host").waiting < number:
            time.sleep(0.001)
    gate.set()
    for thread in threads:
        thread.join(30)
    assert order == ["urgent", "start", "clone"]


def test_what_waits_when_the_job_halts_never_begins() -> None:
    async def run() -> None:
        tokens, gate, begun = make_tokens(slots=1, factor=1), threading.Event(), threading.Event()
        halt = Halt()

        def first() -> int:
            begun.set()
            gate.wait(30)
            return 1

        running = asyncio.create_task(tokens.call("host", Kind.CLONE, halt, first))
        waiting = asyncio.create_task(tokens.call("host", Kind.CLONE, halt, pytest.fail, "begun"))
        assert await asyncio.to_thread(begun.wait, 30)
        halt.set()
        with pytest.raises(Halted):  # at once, though the first one goes on
            await asyncio.wait_for(waiting, 20)
        with pytest.raises(Halted):
            await tokens.call("host", Kind.CLONE, halt, pytest.fail, "begun")
        gate.set()
        assert await running == 1

    asyncio.run(run())


def test_errors_reach_who_called_and_leave_the_token() -> None:
    tokens = make_tokens(slots=1)

    def fail() -> None:
        raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            tokens.run("host", Kind.DEFINE, fail)
    assert tokens.run("host", Kind.DEFINE, lambda: 1) == 1


def test_a_host_that_does_not_answer_is_degraded_until_it_does_again() -> None:
    tokens = make_tokens(slots=2)

    def away() -> None:
        raise errors.HostUnavailable("away")

    for _ in range(2):
        with pytest.raises(errors.HostUnavailable):
            tokens.run("host", Kind.START, away)
    assert tokens.is_degraded("HOST")
    assert tokens.load("host").limit == 1
    for _ in range(8):
        tokens.run("host", Kind.START, time.sleep, 0.01)
    assert not tokens.is_degraded("host")


def test_a_host_much_slower_than_the_others_is_degraded() -> None:
    tokens = make_tokens(slots=1)
    for _ in range(JUDGED_CALLS):
        for host, seconds in (("a", 0.001), ("b", 0.001), ("slow", 0.6)):
            tokens.run(host, Kind.CLONE, time.sleep, seconds)
    assert [tokens.is_degraded(host) for host in ("a", "b", "slow", "new")] == [
        *(False, False, True, False),
    ]


CALLS = st.lists(
    st.tuples(st.floats(0, 60), st.integers(1, 200), st.booleans()), min_size=1, max_size=200
)


@given(first=st.integers(1, 50), cap=st.integers(1, 100), calls=CALLS)
def test_the_limit_stays_between_one_and_the_factor(
    first: int, cap: int, calls: list[tuple[float, int, bool]]
) -> None:
    limit, now = Limit(first, lambda: cap), 1.0
    for seconds, running, away in calls:
        before = limit.now
        limit.ended(Kind.CLONE, now, now + seconds, running, away=away, failed=away)
        now += seconds
        assert 1 <= limit.now <= cap
        assert limit.now <= before + 1
        assert limit.now >= before // 2


@given(first=st.integers(1, 20), rounds=st.integers(1, 5))
def test_it_grows_by_one_for_every_round_of_normal_calls(first: int, rounds: int) -> None:
    limit, now = Limit(first, lambda: 100), 1.0
    for number in range(rounds):
        assert limit.now == first + number
        for _ in range(limit.now):
            limit.ended(Kind.CLONE, now, now + 1.0, limit.now, away=False, failed=False)
            now += 1.0
    assert limit.now == first + rounds


def test_short_calls_are_judged_by_many() -> None:
    limit, now = Limit(2, lambda: 100), 1.0
    while now < 1.0 + ROUND - 0.002:
        limit.ended(Kind.REMOVE, now, now + 0.001, 2, away=False, failed=False)
        now += 0.001
        assert limit.now == 2
    for late in (0.0, 0.001, 0.002):
        limit.ended(Kind.REMOVE, now + late, now + late + 0.001, 2, away=False, failed=False)
    assert limit.now == 3


@pytest.mark.parametrize("slots", [1, 2, 3, 8, 20])
def test_it_stays_near_the_slots_of_a_host_on_which_all_others_wait(slots: int) -> None:
    limit, now = Limit(slots, lambda: 100), 1.0
    for number in range(1000):
        kind, alone = ((Kind.CLONE, 0.05), (Kind.START, 0.1))[number % 2]
        seconds = alone * limit.now / slots  # the rest of them wait on the host
        limit.ended(kind, now, now + seconds, limit.now, away=False, failed=False)
        now += seconds
        assert slots <= limit.now <= NORMAL * slots + 1


def test_it_does_not_grow_while_fewer_run_than_may() -> None:
    limit = Limit(4, lambda: 100)
    for now in range(50):
        limit.ended(Kind.CLONE, now, now + 1.0, 1, away=False, failed=False)
    assert limit.now == 4


def test_calls_that_were_under_way_together_halve_it_once() -> None:
    limit = Limit(8, lambda: 100)
    for _ in range(8):
        limit.ended(Kind.CLONE, 1.0, 2.0, 8, away=True, failed=True)
    assert limit.now == 4
    limit.ended(Kind.CLONE, 3.0, 4.0, 4, away=True, failed=True)
    assert limit.now == 2


def test_calls_that_fail_do_not_make_others_seem_slow() -> None:
    limit = Limit(8, lambda: 100)
    limit.ended(Kind.START, 0.0, 1.0, 1, away=False, failed=False)
    for now in range(100):
        limit.ended(Kind.START, now, now + 0.01, 1, away=False, failed=True)
    limit.ended(Kind.START, 200.0, 201.0, 1, away=False, failed=False)
    assert limit.now == 8
    assert limit.usual == {Kind.START: 1.0}


def test_a_change_of_the_factor_holds_at_once() -> None:
    factor = 100
    limit = Limit(8, lambda: factor)
    factor = 2
    assert limit.now == 2
