"""Two services of one deployment: what a job's desktops wait for is the same whichever one asks."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from functional.test_takeover import COLLECTION, connect, create
from live.browser import WebClient
from live.postgresql import PostgreSql
from live.service import PASSWORD, USER, until
from live.services import Member, Services, services
from live.slowdown import slowdown
from openrdms.model.reason import ReasonCode
from openrdms.model.report import Report, parse_report

SLOW = "hosts=1&slots=1&clone_ms=4000&start_ms=1000&boot_ms=50&agent_ms=1&users=0"
SLACK = 2
"""Seconds that two estimates may differ by, beside those between the moments they were made at."""
SOON = 1.5
"""Seconds within which one is told that the runner does not answer."""


@pytest.fixture
def two(postgresql: PostgreSql, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services(tmp_path_factory.mktemp("two"), postgresql, SLOW, count=2) as started:
        yield started


def read(member: Member, guid: str) -> Report:
    """By WS-Management, as the command does."""
    with connect(member) as client:
        text = client.invoke(COLLECTION, "ProvisioningJobGetReport", JobGuid=guid)
    return parse_report(str(text["JobReportXml"]))


def without_times(report: Report) -> Report:
    desktops = tuple(replace(desktop, seconds=None) for desktop in report.desktops)
    return replace(report, end=None, modified=report.started, desktops=desktops)


def compare(runner: Member, other: Member, guid: str) -> Report | None:
    """The other's report of a moment in which the runner's stays the same, with an estimate."""
    began = time.monotonic()
    before, asked, after = read(runner, guid), read(other, guid), read(runner, guid)
    slack = SLACK + time.monotonic() - began
    same = without_times(before) == without_times(after)
    codes = {desktop.code for desktop in before.desktops}
    if not same or ReasonCode.HOST_BUSY not in codes or before.end is None:
        return None
    if asked.note:  # on a busy machine the runner may not answer in time
        return None
    assert without_times(asked) == without_times(before)
    assert asked.end
    assert abs(asked.end - before.end) <= timedelta(seconds=slack)
    for mine, its in zip(before.desktops, asked.desktops, strict=True):
        assert (mine.seconds is None) == (its.seconds is None)
        assert abs((mine.seconds or 0) - (its.seconds or 0)) <= slack
    return asked


def read_waits(web: WebClient, guid: str) -> tuple[Any, dict[str, tuple[str, int]]]:
    """The job and, by name, code and place of its desktops that wait in a line."""
    job = web.get(f"/api/v1/jobs/{guid}").raise_for_status().json()
    items = web.get(f"/api/v1/jobs/{guid}/desktops").raise_for_status().json()["items"]
    return job, {one["name"]: (one["code"], one["position"]) for one in items if one["position"]}


def test_waits_are_the_same_at_the_service_that_does_not_run_the_job(two: Services) -> None:
    guid = create(two.members[0], "first", 1)  # so that there is something measured
    finished = "SELECT 1 FROM jobs WHERE guid = %s AND ended IS NOT NULL"
    until("it has ended", lambda: two.read(finished, guid))
    guid = create(two.members[0], "slow", 10)
    runner = until("one runs it", lambda: two.owner(guid))
    assert runner
    other = next(member for member in two.members if member is not runner)
    asked = until("both were asked of one moment", lambda: compare(runner, other, guid))
    assert asked
    positions = [one.position for one in asked.desktops if one.position]
    assert positions == list(range(1, len(positions) + 1))
    with WebClient(other) as web:
        web.sign_in(USER, PASSWORD)

        def look() -> tuple[Any, dict[str, tuple[str, int]]] | None:
            job, waits = read_waits(web, guid)
            return (job, waits) if waits and job["note"] == "" else None

        job, waits = until("it is told by the REST API", look) or ({}, {})
        assert {code for code, _ in waits.values()} == {ReasonCode.HOST_BUSY}
        assert datetime.fromisoformat(job["expected_end"]) > datetime.fromisoformat(job["started"])
        page = f"/console/jobs/{guid}"
        until("it is on its page", lambda: ReasonCode.HOST_BUSY in web.get(page).text)
        check_without_the_runner(two, runner, other, web, guid)


def check_without_the_runner(
    two: Services, runner: Member, other: Member, web: WebClient, guid: str
) -> None:
    """It is paused: whoever is asked says so, soon, and all that is on record."""
    runner.signal(signal.SIGSTOP)
    took = []
    with slowdown() as machine:
        for ask in (
            lambda: read(other, guid).note,
            lambda: web.get(f"/api/v1/jobs/{guid}").raise_for_status().json()["note"],
            lambda: web.get(f"/console/jobs/{guid}").raise_for_status().text,
        ):
            began = time.monotonic()
            told = ask()
            took.append(time.monotonic() - began)
            assert f"service {name_of(two, runner)} runs this job" in told
    assert max(took) <= SOON * machine.worst, took
    assert read_waits(web, guid)[1] == {}
    runner.signal(signal.SIGCONT)
    until("it is asked again", lambda: read_waits(web, guid)[1])


def name_of(two: Services, member: Member) -> str:
    [(name,)] = two.read("SELECT name FROM members WHERE id = %s", member.ready["service"])
    return str(name)
