"""Jobs: under way and ended; one of them as it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from openrdms.frontends.web.api.jobs import (
    DesktopStatus,
    JobDetail,
    parse_query,
    read_desktops,
    read_job,
    read_page,
)
from openrdms.frontends.web.console.charts import Share
from openrdms.frontends.web.console.shell import COLLECTIONS, PREFIX, show
from openrdms.frontends.web.console.words import JOB_DESKTOPS
from openrdms.frontends.web.paging import Paging
from openrdms.frontends.web.visitors import Reader
from openrdms.model.job import VmStatus
from openrdms.model.job_list import JobQuery, WaveCount
from openrdms.model.reason import Wait

router = APIRouter(prefix=f"{PREFIX}/jobs")


@router.get("")
def list_jobs(
    request: Request,
    visitor: Reader,
    part: Paging,
    query: Annotated[JobQuery, Depends(parse_query)],
    cursor: str = "",
) -> Response:
    """The newest first."""
    backend = visitor.backend
    position = backend.changes.position
    with visitor.watch(COLLECTIONS, "ProvisioningEnumerateJobs"):
        found = read_page(backend, part, query)
    return show(
        request,
        visitor,
        "jobs.html",
        position=position,
        page=found,
        query=query,
        cursor=cursor,
        collections=backend.collections.list_collections(),
    )


@router.get("/{guid}")
def show_job(
    request: Request,
    visitor: Reader,
    guid: str,
    part: Paging,
    status: DesktopStatus | None = None,
    cursor: str = "",
) -> Response:
    """One, with its desktops."""
    backend = visitor.backend
    position = backend.changes.position
    chosen = VmStatus[status.name] if status else None
    with visitor.watch(COLLECTIONS, "ProvisioningJobGetReport"):
        job = read_job(backend, guid)
        desktops = read_desktops(backend, guid, part, chosen)
    return show(
        request,
        visitor,
        "job.html",
        position=position,
        job=job,
        shares=_share(job),
        waves=_share_waves(backend.jobs.count_waves(job.guid)),
        waits=_sum_up(backend.provisioning.list_waits(job.guid).values()),
        page=desktops,
        only=status,
        statuses=list(DesktopStatus),
        cursor=cursor,
    )


def _share_waves(counts: Iterable[WaveCount]) -> list[list[Share]]:
    """Of each wave, how far its desktops are; nothing for a job of one wave."""
    waves: dict[int, Counter[str]] = {}
    for one in counts:
        waves.setdefault(one.wave, Counter())[DesktopStatus[one.status.name]] += one.desktops
    parts = [
        [Share(key, shown.words, wave[key], shown.tone) for key, shown in JOB_DESKTOPS.items()]
        for wave in waves.values()
    ]
    return parts if len(parts) > 1 else []


class Waits(NamedTuple):
    """So many desktops that wait for the same thing; ``words`` are those of one of them."""

    code: str
    words: str
    desktops: int


def _sum_up(waits: Iterable[Wait]) -> list[Waits]:
    """What most wait for first."""
    words: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for wait in waits:
        words.setdefault(wait.code, wait.words)
        counts[wait.code] += 1
    return [Waits(code, words[code], count) for code, count in counts.most_common()]


def _share(job: JobDetail) -> list[Share]:
    left = job.desktops - job.succeeded - job.failed
    return [
        Share("complete", "Done", job.succeeded, "good"),
        Share("failed", "Failed", job.failed, "bad"),
        Share("", "Left to do" if job.ended is None else "Not done", left, "idle"),
    ]
