"""HostHealth over hosts that go, hang and come back."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from openrdms.model import errors
from openrdms.model.host import HostInfo
from openrdms.services.host_health import Absence, HostHealth, Pace
from openrdms.services.hosts import Hosts

PACE = Pace(period=0.1, patience=0.1, first=0.01, longest=0.05)


class Host:
    """A host that answers while ``there``, and hangs while ``hung`` is set."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.there = True
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def describe(self) -> HostInfo:
        self.asked += 1
        self.answers.wait(20)
        return HostInfo(self.name, self.there, "none", 1, 1, "test")


class Deployment:
    def __init__(self) -> None:
        self.one, self.two = Host("one.test"), Host("two.test")
        hosts: Any = [self.one, self.two]
        self.health = HostHealth(Hosts(hosts), lambda: datetime.now(UTC), PACE)
        self.told: list[tuple[str, Absence | None]] = []
        self.health.subscribe(lambda host, absence: self.told.append((host, absence)))

    def told_of(self, host: Host) -> list[bool]:
        """True for each time it went, False for each time it came back."""
        return [absence is not None for name, absence in self.told if name == host.name]


@pytest.fixture
def deployment() -> Iterator[Deployment]:
    deployment = Deployment()
    yield deployment
    deployment.one.answers.set()
    deployment.health.close()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def await_back(deployment: Deployment) -> None:
    asyncio.run(asyncio.wait_for(deployment.health.back("one"), 5))


def test_a_failing_call_is_enough_and_an_answer_ends_it(deployment: Deployment) -> None:
    deployment.one.there = False
    deployment.health.note_failure("one", errors.HostUnavailable("one is down"))
    absence = deployment.health.status("ONE.test")
    assert absence is not None
    assert absence.words == "one is down"
    assert not deployment.health.is_away("two")
    deployment.health.note_failure("one", errors.HostUnavailable("still"))
    assert deployment.health.status("one") == absence
    deployment.health.note_success("one")
    assert not deployment.health.is_away("one")
    until(lambda: deployment.told_of(deployment.one)[:2] == [True, False])


def test_who_asks_for_an_unknown_host_is_told_so(deployment: Deployment) -> None:
    with pytest.raises(errors.NotFound, match="three"):
        deployment.health.is_away("three")


def test_a_host_that_is_away_is_asked_until_it_is_back(deployment: Deployment) -> None:
    deployment.one.there = False
    deployment.health.note_failure("one", errors.HostUnavailable("one is down"))
    until(lambda: deployment.one.asked >= 4)
    assert deployment.health.is_away("one")
    deployment.one.there = True
    await_back(deployment)
    until(lambda: deployment.told_of(deployment.one) == [True, False])


def test_a_host_that_nobody_talks_to_is_found_lost(deployment: Deployment) -> None:
    deployment.health.start()
    until(lambda: deployment.two.asked >= 2)
    deployment.two.there = False
    until(lambda: deployment.health.is_away("two"))
    assert not deployment.health.is_away("one")


def test_a_host_that_answers_others_is_not_asked(deployment: Deployment) -> None:
    deployment.health.note_success("one")
    deployment.health.start()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        deployment.health.note_success("one")
        time.sleep(0.01)
    assert deployment.one.asked == 0
    assert deployment.two.asked >= 3


def test_a_question_that_hangs_is_no_answer_and_holds_up_nobody(deployment: Deployment) -> None:
    deployment.one.answers.clear()
    deployment.health.start()
    until(lambda: deployment.health.is_away("one"))
    assert deployment.one.asked == 1
    before = deployment.two.asked
    until(lambda: deployment.two.asked > before + 1)
    deployment.one.answers.set()
    await_back(deployment)


def test_a_question_that_waits_long_is_no_absence_while_others_are_answered(
    deployment: Deployment,
) -> None:
    """A host with all hands full, or a service that has: neither is away."""
    deployment.one.answers.clear()
    deployment.health.start()
    until(lambda: deployment.one.asked == 1)
    for _ in range(40):
        deployment.health.note_success("one")
        time.sleep(0.01)
    assert deployment.told_of(deployment.one) == []


def test_workflows_wait_without_a_thread(deployment: Deployment) -> None:
    async def wait() -> None:
        await deployment.health.back("two")  # is there
        deployment.one.there = False
        deployment.health.note_failure("one", errors.HostUnavailable("one is down"))
        many = [asyncio.ensure_future(deployment.health.back("one")) for _ in range(100)]
        await asyncio.sleep(0.05)
        assert not any(waiting.done() for waiting in many)
        many[0].cancel()
        deployment.one.there = True
        await asyncio.wait_for(asyncio.gather(*many[1:]), 5)

    asyncio.run(wait())


def test_who_listens_late_hears_of_those_that_are_away(deployment: Deployment) -> None:
    deployment.one.there = False
    deployment.health.note_failure("one", errors.HostUnavailable("one is down"))
    told: list[str] = []
    deployment.health.subscribe(lambda host, _: told.append(host))
    assert told == ["one.test"]
