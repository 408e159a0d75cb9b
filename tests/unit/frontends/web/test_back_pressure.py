"""What is refused rather than left waiting."""

from __future__ import annotations

import asyncio
import threading
from contextlib import ExitStack

import pytest

from openrdms.frontends.web import back_pressure
from openrdms.frontends.web.back_pressure import Overloaded, Pressure, on_hosts


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


def test_slow_hosts_fill_their_own_line_and_no_other() -> None:
    most = back_pressure.HOST_THREADS + back_pressure.HOST_LINE
    go_on = threading.Event()
    answer = on_hosts(lambda: go_on.wait(30))

    async def crowd() -> list[object]:
        asked = [asyncio.ensure_future(answer()) for _ in range(most + 1)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert await asyncio.to_thread(lambda: "quick") == "quick"
        go_on.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    results = asyncio.run(crowd())
    (refused,) = [one for one in results if one is not True]
    assert isinstance(refused, Overloaded)
    assert (refused.reason, refused.seconds) == ("HostsBusy", 2)
