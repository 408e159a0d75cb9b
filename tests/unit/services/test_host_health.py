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
LEISURE = Pace(period=2, patience=2, first=0.01, longest=0.05)
"""Leaves who must be heard of in time some time for it."""
PATIENT = Pace(period=0.1, patience=60, first=0.01, longest=0.05)
"""Takes nobody for away who is only slow."""
NEVER = Pace(period=60, patience=60, first=60, longest=60)
"""Asks nobody while a test runs."""


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
    def __init__(self, pace: Pace = PACE) -> None:
        self.one, self.two = Host("one.test"), Host("two.test")
        hosts: Any = [self.one, self.two]
        self.hosts = Hosts(hosts)
        self.health = HostHealth(self.hosts, lambda: datetime.now(UTC), pace)
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


@pytest.fixture
def leisurely() -> Iterator[Deployment]:
    deployment = Deployment(LEISURE)
    yield deployment
    deployment.one.answers.set()
    deployment.health.close()


@pytest.fixture
def patient() -> Iterator[Deployment]:
    deployment = Deployment(PATIENT)
    yield deployment
    deployment.health.close()


@pytest.fixture
def unasked() -> Iterator[Deployment]:
    deployment = Deployment(NEVER)
    yield deployment
    deployment.health.close()


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def await_back(deployment: Deployment) -> None:
    asyncio.run(asyncio.wait_for(deployment.health.back("one"), 30))


def test_a_failing_call_is_enough_and_an_answer_ends_it(unasked: Deployment) -> None:
    unasked.health.note_failure("one", errors.HostUnavailable("one is down"))
    absence = unasked.health.status("ONE.test")
    assert absence is not None
    assert absence.words == "one is down"
    assert not unasked.health.is_away("two")
    unasked.health.note_failure("one", errors.HostUnavailable("still"))
    assert unasked.health.status("one") == absence
    unasked.health.note_success("one")
    assert not unasked.health.is_away("one")
    until(lambda: unasked.told_of(unasked.one) == [True, False])


def test_who_asks_for_an_unknown_host_is_told_so(deployment: Deployment) -> None:
    with pytest.raises(errors.NotFound, match="three"):
        deployment.health.is_away("three")


def test_the_first_failure_is_not_taken_back_at_once(deployment: Deployment) -> None:
    """The asking begins with it, and the host answers when it is asked."""
    for _ in range(100):
        health = HostHealth(deployment.hosts, lambda: datetime.now(UTC), Pace(first=60, longest=60))
        health.note_failure("one", errors.HostUnavailable("one is down"))
        until(lambda: deployment.two.asked > 0)  # by now it would have been asked, too
        assert health.is_away("one")
        health.close()
        deployment.two.asked = 0
    assert deployment.one.asked == 0


def test_a_host_that_is_away_is_asked_until_it_is_back(patient: Deployment) -> None:
    patient.one.there = False
    patient.health.note_failure("one", errors.HostUnavailable("one is down"))
    until(lambda: patient.one.asked >= 4)
    assert patient.health.is_away("one")
    patient.one.there = True
    await_back(patient)
    until(lambda: patient.told_of(patient.one) == [True, False])


def test_a_host_that_nobody_talks_to_is_found_lost(patient: Deployment) -> None:
    patient.health.start()
    until(lambda: patient.two.asked >= 2)
    patient.two.there = False
    until(lambda: patient.health.is_away("two"))
    assert not patient.health.is_away("one")


def test_a_host_that_answers_others_is_not_asked(leisurely: Deployment) -> None:
    leisurely.health.note_success("one")
    leisurely.health.start()
    while leisurely.two.asked < 3:
        leisurely.health.note_success("one")
        time.sleep(0.01)
    assert leisurely.one.asked == 0


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
    leisurely: Deployment,
) -> None:
    """A host with all hands full, or a service that has: neither is away."""
    leisurely.one.answers.clear()
    leisurely.health.start()
    until(lambda: leisurely.one.asked == 1)
    end = time.monotonic() + 2 * LEISURE.patience
    while time.monotonic() < end:
        leisurely.health.note_success("one")
        time.sleep(0.01)
    assert leisurely.told_of(leisurely.one) == []


def test_workflows_wait_without_a_thread(patient: Deployment) -> None:
    async def wait() -> None:
        await patient.health.back("two")  # is there
        patient.one.there = False
        patient.health.note_failure("one", errors.HostUnavailable("one is down"))
        many = [asyncio.ensure_future(patient.health.back("one")) for _ in range(100)]
        await asyncio.sleep(0.05)
        assert not any(waiting.done() for waiting in many)
        many[0].cancel()
        patient.one.there = True
        await asyncio.wait_for(asyncio.gather(*many[1:]), 30)

    asyncio.run(wait())


def test_who_listens_late_hears_of_those_that_are_away(deployment: Deployment) -> None:
    deployment.one.there = False
    deployment.health.note_failure("one", errors.HostUnavailable("one is down"))
    told: list[str] = []
    deployment.health.subscribe(lambda host, _: told.append(host))
    assert told == ["one.test"]


def test_an_answer_of_before_it_went_is_no_return(patient: Deployment) -> None:
    host = patient.one
    begun = threading.Event()

    def answer_late() -> HostInfo:
        there = host.there
        begun.set()
        host.answers.wait(60)
        return HostInfo(host.name, there, "none", 1, 1, "test")

    host.describe = answer_late  # type: ignore[method-assign]
    host.answers.clear()
    patient.health.start()
    assert begun.wait(60)
    host.there = False
    patient.health.note_failure(host.name, errors.HostUnavailable("gone"))
    begun.clear()
    host.answers.set()
    assert begun.wait(60)  # asked anew, so what it had said before was heard
    assert patient.told_of(host) == [True]
    host.there = True
    until(lambda: patient.told_of(host) == [True, False])
