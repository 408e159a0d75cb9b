"""What threads put comes to the loop once, in order, and not one by one."""

from __future__ import annotations

import asyncio
import threading

from openrdms.jobs.results import Results

LONG = 60.0


def put_all(results: Results[int], numbers: range) -> None:
    for number in numbers:
        results.put(number)


def test_all_that_are_awaited_come_at_once() -> None:
    async def take() -> list[int]:
        results: Results[int] = Results()
        threading.Thread(target=put_all, args=(results, range(1000))).start()
        return await results.take(1000, LONG)

    assert asyncio.run(take()) == list(range(1000))


def test_of_those_that_others_wait_for_in_vain_there_is_one_at_least() -> None:
    async def take() -> list[int]:
        results: Results[int] = Results()
        asyncio.get_running_loop().call_later(0.05, results.put, 7)
        return await results.take(2, 0.0)

    assert asyncio.run(take()) == [7]


def test_nothing_is_lost_or_doubled_between_two_takes() -> None:
    async def take() -> list[int]:
        results: Results[int] = Results()
        threads = [
            threading.Thread(target=put_all, args=(results, range(at, 3000, 3))) for at in range(3)
        ]
        for thread in threads:
            thread.start()
        taken: list[int] = []
        while len(taken) < 3000:
            taken += await results.take(100, 0.001)
        return taken

    assert sorted(asyncio.run(take())) == list(range(3000))


def test_a_thread_that_outlives_the_loop_meets_no_error() -> None:
    async def make() -> Results[int]:
        return Results()

    asyncio.run(make()).put(1)
