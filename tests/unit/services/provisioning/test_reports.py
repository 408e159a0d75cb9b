"""What is said of a job by a service that does not run it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from fakes.job_work import NOW, FakeHost, make_job, make_rows, make_tools
from openrdms.model.change import Kind
from openrdms.model.collection import CollectionState
from openrdms.model.job import Job, JobDesktop
from openrdms.model.member import Member
from openrdms.model.report import Report
from openrdms.services.provisioning import Provisioning, questions

HERE, THERE = "b" * 16, "a" * 16


@dataclass
class Records:
    """Of one job, and which service runs it."""

    runner: str
    job: Job
    rows: list[JobDesktop] = field(default_factory=lambda: make_rows(2))

    def find_job(self, guid: str) -> Job:
        """It."""
        return self.job

    def list_job_desktops(self, guid: str) -> list[JobDesktop]:
        """Its plan."""
        return self.rows

    def find_runner(self, guid: str) -> str:
        """Who has adopted it."""
        return self.runner

    def tell_others(self, kind: Kind, keys: Sequence[str]) -> None:
        """Nobody answers."""


@dataclass
class Members:
    """Two services, of which this one is ``me``; "" where it is alone."""

    me: str

    def list_live(self) -> list[Member]:
        """Both."""
        named = {THERE: "node2", HERE: "node1"}
        return [Member(one, name, "", "1", NOW, NOW) for one, name in named.items()]


def report(runner: str, me: str = HERE, **fields: Any) -> Report:
    """Asked at a service in which no job runs, but that could say how long it takes."""
    records: Any = Records(runner, replace(make_job(), **fields))
    tools = make_tools({}, FakeHost())
    service = Provisioning(
        records,
        tools.hosts,
        tools.health,
        tools.images,
        tools.uses,
        tools.tokens,
        cast("Any", None),
        tools.clock,
        Path("/nowhere"),
        members=cast("Any", Members(me)),
    )
    for kind in ("clone", "define", "start", "boot"):
        service.times.measure("host1", kind, 5.0)
    return service.find_report(records.job.guid)


def test_another_service_runs_it_and_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "_PATIENCE", 0.05)
    asked = report(THERE)
    assert asked.end is None
    assert asked.note.startswith("service node2 runs this job, and has not told what")


def test_nobody_runs_it_yet_or_any_more() -> None:
    words = "no service runs this job at the moment: one will begin or go on with it"
    assert [report(runner).note for runner in ("", HERE, "d" * 16)] == [words] * 3


def test_there_is_nothing_to_say_of_what_has_ended_or_is_scheduled_or_of_one_that_is_alone() -> (
    None
):
    assert report(THERE, ended=NOW).note == ""
    assert report("", state=CollectionState.UPDATE_SCHEDULED).note == ""
    alone = report("", me="")
    assert (alone.note, alone.end) == ("", None)
