"""What is refused rather than left waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import pytest

from openrdms.frontends.web import back_pressure
from openrdms.frontends.web.back_pressure import (
    HOST_LINE,
    HOST_THREADS,
    SIGN_IN_LINE,
    SIGN_IN_THREADS,
    Overloaded,
    Pressure,
    on_hosts,
    run_sign_in,
)


class Seconds:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def ask(pressure: Pressure, account: str, times: int) -> int:
    """How many of so many requests, one after the other, are admitted."""
    admitted = 0
    for _ in range(times):
        try:
            with pressure.admit(account):
                admitted += 1
        except Overloaded as error:
            assert (error.reason, error.seconds) == ("TooManyRequests", 1)
    return admitted


def test_an_account_has_a_rate_of_its_own() -> None:
    clock = Seconds()
    pressure = Pressure(clock)
    burst, rate = int(back_pressure.BURST), int(back_pressure.RATE)
    assert ask(pressure, "alice", burst + 10) == burst
    assert ask(pressure, "bob", 1) == 1
    clock.now += 1
    assert ask(pressure, "alice", burst) == rate
    clock.now += 3600
    assert ask(pressure, "alice", burst + 10) == burst


def test_an_account_has_so_much_under_way() -> None:
    pressure = Pressure(Seconds())
    with ExitStack() as under_way:
        for _ in range(back_pressure.IN_WORK):
            under_way.enter_context(pressure.admit("alice"))
        with pytest.raises(Overloaded) as refused, pressure.admit("alice"):
            pass
        assert refused.value.reason == "TooMuchInWork"
        with pressure.admit("bob"):
            pass
    with pressure.admit("alice"):
        pass


def test_streams_are_counted_apart() -> None:
    pressure = Pressure(Seconds())
    with ExitStack() as open_ones:
        for _ in range(back_pressure.STREAMS):
            open_ones.enter_context(pressure.admit_stream("alice"))
        with pytest.raises(Overloaded), pressure.admit_stream("alice"):
            pass
        with pressure.admit("alice"):
            pass


async def sign_in(go_on: threading.Event) -> bool:
    return await run_sign_in(lambda: go_on.wait(30))


@pytest.mark.parametrize(
    ("ask", "most", "reason"),
    [
        (on_hosts(lambda go_on: go_on.wait(30)), HOST_THREADS + HOST_LINE, "HostsBusy"),
        (sign_in, SIGN_IN_THREADS + SIGN_IN_LINE, "SignInsBusy"),
    ],
)
def test_what_is_slow_fills_its_own_line_and_no_other(
    ask: Callable[[threading.Event], Awaitable[object]], most: int, reason: str
) -> None:
    go_on = threading.Event()

    async def crowd() -> list[object]:
        asked = [asyncio.ensure_future(ask(go_on)) for _ in range(most + 1)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert await asyncio.to_thread(lambda: "quick") == "quick"
        go_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    results = asyncio.run(crowd())
    (refused,) = [one for one in results if one is not True]
    assert isinstance(refused, Overloaded)
    assert (refused.reason, refused.seconds) == (reason, 2)
