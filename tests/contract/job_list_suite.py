"""What every store promises of lists of jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contract.store_suite import make_collection, make_job, make_plan
from openrdms.model.collection import CollectionState
from openrdms.model.job import Job, JobAction, Phase, VmStatus
from openrdms.model.job_list import JobQuery, PhaseCount, WaveCount, count_progress
from openrdms.ports import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def put_job(store: Store, alias: str, minutes: int, *, ended: bool) -> Job:
    """A job of a collection of its own, that began so many minutes after NOW."""
    store.create_collection(make_collection(alias))
    begun = NOW + timedelta(minutes=minutes)
    job = replace(make_job(alias), started=begun, modified=begun)
    store.accept_job(job)
    if ended:
        store.end_job(job.guid, CollectionState.JOB_COMPLETED, "", begun)
    return job


class JobListSuite:
    """Adapters give ``store``."""

    @pytest.fixture
    def jobs(self, store: Store) -> list[Job]:
        """The newest first; two began at the same time."""
        made = [
            put_job(store, f"c{number}", number // 2, ended=number % 2 == 0) for number in range(5)
        ]
        return sorted(made, key=lambda job: (job.started, job.guid), reverse=True)

    def test_the_newest_first_by_pages(self, store: Store, jobs: list[Job]) -> None:
        page = store.list_job_rows(JobQuery(), None, 2)
        seen = [row.guid for row in page]
        while page:
            page = store.list_job_rows(JobQuery(), page[-1].place, 2)
            seen += [row.guid for row in page]
        assert seen == [job.guid for job in jobs]

    def test_conditions(self, store: Store, jobs: list[Job]) -> None:
        def find(query: JobQuery) -> set[str]:
            return {row.collection for row in store.list_job_rows(query, None, 100)}

        assert find(JobQuery(running=True)) == {"c1", "c3"}
        assert find(JobQuery(running=False)) == {"c0", "c2", "c4"}
        assert find(JobQuery(collection="C3")) == {"c3"}
        assert find(JobQuery(action=JobAction.DELETE)) == set()

    def test_desktops_are_counted_and_paged(self, store: Store) -> None:
        job = put_job(store, "farm", 0, ended=False)
        rows = store.add_job_desktops(make_plan(job, "vd-1", "vd-2", "vd-3"), None)
        half = replace(rows[1], status=VmStatus.IN_PROGRESS, done=Phase.DEFINE)
        store.put_job_desktops([replace(rows[0], status=VmStatus.COMPLETE), half], NOW)
        assert set(store.count_phases([job.guid, "{other}"])) == {
            PhaseCount(job.guid, VmStatus.COMPLETE, None, 1),
            PhaseCount(job.guid, VmStatus.IN_PROGRESS, Phase.DEFINE, 1),
            PhaseCount(job.guid, VmStatus.PENDING, None, 1),
        }
        (row,) = store.list_job_rows(JobQuery(), None, 1)
        progress = count_progress(row, store.count_phases([job.guid]))
        assert (progress.desktops, progress.succeeded, progress.percent) == (3, 1, 46)
        assert [one.name for one in store.page_job_desktops(job.guid, 0, 1)] == ["vd-2"]
        pending = store.page_job_desktops(job.guid, -1, 9, VmStatus.PENDING)
        assert [one.name for one in pending] == ["vd-3"]

    def test_waves_are_counted(self, store: Store) -> None:
        job = put_job(store, "farm", 0, ended=False)
        plan = make_plan(job, "vd-1", "vd-2", "vd-3")
        waves = [replace(row, wave=row.ordinal // 2) for row in plan]
        rows = store.add_job_desktops(waves, None)
        store.put_job_desktops([replace(rows[0], status=VmStatus.COMPLETE)], NOW)
        first, last = rows[0].wave, rows[-1].wave
        assert first != last
        counts = store.count_waves(job.guid)
        assert [one.wave for one in counts] == sorted(one.wave for one in counts)
        assert sum(one.desktops for one in counts) == len(rows)
        assert WaveCount(last, VmStatus.PENDING, sum(row.wave == last for row in rows)) in counts
        assert any(one.status is VmStatus.COMPLETE for one in counts if one.wave == first)
        assert store.count_waves("{other}") == []
