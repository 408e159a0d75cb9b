"""Pages of jobs with their progress, and of their desktops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from openrdms import ports
from openrdms.model.job import JobDesktop, VmStatus
from openrdms.model.job_list import (
    JobCount,
    JobPlace,
    JobQuery,
    JobRow,
    PhaseCount,
    Progress,
    WaveCount,
    count_progress,
)


class ListedJob(NamedTuple):
    """A job and how far it is."""

    row: JobRow
    progress: Progress


class JobList:
    """Safe from any thread."""

    def __init__(self, store: ports.Store) -> None:
        self._store = store

    def page(self, query: JobQuery, after: JobPlace | None, limit: int) -> list[ListedJob]:
        """As ports.JobListStore.list_job_rows."""
        rows = self._store.list_job_rows(query, after, limit)
        counts: dict[str, list[PhaseCount]] = {row.guid: [] for row in rows}
        for one in self._store.count_phases(list(counts)):
            counts[one.job].append(one)
        return [ListedJob(row, count_progress(row, counts[row.guid])) for row in rows]

    def count(self) -> Sequence[JobCount]:
        """As ports.JobListStore.count_jobs."""
        return self._store.count_jobs()

    def find_progress(self, row: JobRow) -> Progress:
        """How far one job is."""
        return count_progress(row, self._store.count_phases([row.guid]))

    def count_waves(self, guid: str) -> Sequence[WaveCount]:
        """As ports.JobListStore.count_waves."""
        return self._store.count_waves(guid)

    def page_desktops(
        self, guid: str, after: int, limit: int, status: VmStatus | None
    ) -> Sequence[JobDesktop]:
        """As ports.JobListStore.page_job_desktops."""
        return self._store.page_job_desktops(guid, after, limit, status)
