"""The overview: what an administrator wants to see first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from openrdms.cim import guard
from openrdms.frontends.web import paging
from openrdms.frontends.web.api.hosts import Host, read_hosts
from openrdms.frontends.web.api.jobs import Job, JobState, read_page
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.console.charts import Share, deal
from openrdms.frontends.web.console.shell import COLLECTIONS, PREFIX, find_entries, may, show
from openrdms.frontends.web.console.words import USES
from openrdms.frontends.web.visitors import Reader
from openrdms.model.desktop_list import DesktopQuery, UseCount
from openrdms.model.desktop_use import Use
from openrdms.model.job_list import JobQuery

_CELLS = 200
"""Of the wall; with so many desktops or fewer each has its own."""

_MOST_SHOWN = 8
_MOST_ENDED = 4
_LATELY = timedelta(days=1)
"""For so long a job that failed needs looking at."""

router = APIRouter(prefix=PREFIX)


class Trouble(NamedTuple):
    """Something that needs somebody."""

    name: str
    reason: str
    tone: str
    href: str


class Uses:
    """How many desktops have which use, by collection."""

    def __init__(self, tally: Sequence[UseCount]) -> None:
        self._counts: dict[str, Counter[Use]] = {}
        for row in tally:
            self._counts.setdefault(row.collection, Counter())[row.use] += row.desktops
        self.total = sum(row.desktops for row in tally)

    @property
    def collections(self) -> list[str]:
        """Aliases, the largest first; "" stands for desktops in none."""
        return sorted(self._counts, key=lambda alias: -self._counts[alias].total())

    def parts(self, collection: str | None = None) -> list[Share]:
        """Of one collection, or of all."""
        wanted = self._counts.values() if collection is None else [self._counts[collection]]
        return [
            Share(use, shown.words, sum(count[use] for count in wanted), shown.tone)
            for use, shown in USES.items()
        ]

    def wall(self) -> list[str]:
        """Tones of the wall's cells."""
        return deal(self.parts(), _CELLS)


class Overview:
    """Each part is read when the page, or that region of it, is shown."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def uses(self) -> Uses:
        """Of all desktops."""
        return Uses(self._backend.desktop_list.tally())

    @cached_property
    def hosts(self) -> list[Host]:
        """Those that need looking at first, then the fullest; asked once for all regions."""
        return sorted(read_hosts(self._backend), key=_urgency)

    def jobs(self) -> list[Job]:
        """Those under way; without any, what was last."""
        few = paging.Part(_MOST_SHOWN)
        running = read_page(self._backend, few, JobQuery(running=True)).items
        return running or read_page(self._backend, few, JobQuery()).items[:_MOST_ENDED]

    def troubles(self) -> list[Trouble]:
        """What needs somebody, with the reasons in words."""
        return [
            *self._hosts_in_trouble(),
            *self._stopped_pools(),
            *self._failed_jobs(),
            *self._set_apart(),
        ]

    def _hosts_in_trouble(self) -> Iterator[Trouble]:
        for host in self.hosts:
            if host.reason:
                tone = "busy" if host.reachable else "bad"
                yield Trouble(host.name, host.reason, tone, f"{PREFIX}/hosts/{quote(host.name)}")

    def _stopped_pools(self) -> Iterator[Trouble]:
        for collection in self._backend.collections.list_collections():
            words = self._backend.pools.stopped(collection.alias)
            if words:
                href = f"{PREFIX}/collections/{quote(collection.alias)}"
                yield Trouble(collection.name, words, "bad", href)

    def _failed_jobs(self) -> Iterator[Trouble]:
        since = datetime.now(UTC) - _LATELY
        few = paging.Part(_MOST_SHOWN)
        for job in read_page(self._backend, few, JobQuery(running=False)).items:
            if job.state is JobState.FAILED and job.ended and job.ended > since:
                words = job.error or f"{job.failed} / {job.desktops}"
                yield Trouble(job.collection, words, "bad", f"{PREFIX}/jobs/{quote(job.guid)}")

    def _set_apart(self) -> Iterator[Trouble]:
        query = DesktopQuery(use=Use.QUARANTINED)
        for found in self._backend.desktop_list.page(query, "", _MOST_SHOWN):
            href = f"{PREFIX}/desktops/{quote(found.row.name)}"
            yield Trouble(found.row.name, found.row.reason, "bad", href)


@router.get("")
@on_hosts
def show_overview(request: Request, visitor: Reader) -> Response:
    """At a glance; who may not see that is led to the first page that he may."""
    if not may(visitor, COLLECTIONS, guard.ENUMERATE):
        return RedirectResponse(find_entries(visitor)[0].path, 303)
    position = visitor.backend.changes.position
    with visitor.watch(COLLECTIONS, guard.ENUMERATE):
        return show(
            request,
            visitor,
            "overview.html",
            position=position,
            overview=Overview(visitor.backend),
        )


def _urgency(host: Host) -> tuple[bool, bool, float]:
    load = host.used_mib / host.memory_mib if host.memory_mib else 0.0
    return host.reachable, not host.degraded, -load
