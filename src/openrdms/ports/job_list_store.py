"""Lists of jobs and of their desktops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from openrdms.model.job import JobDesktop, VmStatus
from openrdms.model.job_list import JobCount, JobPlace, JobQuery, JobRow, PhaseCount, WaveCount


class JobListStore(Protocol):
    """Reads that stay quick with very many jobs and desktops."""

    def list_job_rows(self, query: JobQuery, after: JobPlace | None, limit: int) -> list[JobRow]:
        """The first ``limit`` behind ``after``, the newest first."""

    def count_jobs(self) -> list[JobCount]:
        """All jobs; only what occurs."""

    def count_phases(self, guids: Sequence[str]) -> list[PhaseCount]:
        """How far the desktops of these jobs are; only what occurs."""

    def count_waves(self, guid: str) -> list[WaveCount]:
        """In order of waves; only what occurs."""

    def page_job_desktops(
        self, guid: str, after: int, limit: int, status: VmStatus | None = None
    ) -> list[JobDesktop]:
        """The first ``limit`` whose ordinal is above ``after``, in order of it."""
