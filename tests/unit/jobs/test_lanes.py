import asyncio
import threading
import time

import pytest

from openrdms.jobs.lanes import Halted, Lanes


def test_a_lane_does_no_more_than_its_width_at_once() -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.01)
        with lock:
            busy -= 1

    async def run() -> None:
        lanes = Lanes(lambda _: 3)
        await asyncio.gather(*(lanes.call("host", None, work) for _ in range(12)))
        lanes.close()

    asyncio.run(run())
    assert most == 3


def test_a_slow_host_holds_up_nobody_else() -> None:
    async def run() -> None:
        lanes, gate = Lanes(lambda _: 1), threading.Event()
        slow = asyncio.create_task(lanes.call("slow", None, gate.wait, 5))
        assert await asyncio.wait_for(lanes.call("quick", None, lambda: 7), 1) == 7
        assert not slow.done()
        gate.set()
        assert await slow
        lanes.close()

    asyncio.run(run())


def test_nothing_begins_once_halted_and_what_began_ends() -> None:
    async def run() -> None:
        lanes, halt, gate, begun = (
            Lanes(lambda _: 1),
            asyncio.Event(),
            threading.Event(),
            threading.Event(),
        )

        def first() -> str:
            begun.set()
            gate.wait(5)
            return "done"

        running = asyncio.create_task(lanes.call("host", halt, first))
        waiting = asyncio.create_task(lanes.call("host", halt, pytest.fail, "it began"))
        await asyncio.to_thread(begun.wait, 5)
        halt.set()
        gate.set()
        assert await running == "done"
        with pytest.raises(Halted):
            await waiting
        lanes.close()

    asyncio.run(run())


def test_errors_come_through() -> None:
    def fail() -> None:
        raise KeyError("x")

    async def run() -> None:
        lanes = Lanes(lambda _: 1)
        with pytest.raises(KeyError):
            await lanes.call("host", None, fail)
        lanes.close()

    asyncio.run(run())
