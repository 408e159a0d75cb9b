"""Figures at a glance, counted by the database and from memory: no host is asked."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from openrdms.cim.guard import ENUMERATE
from openrdms.frontends.web.api.collections import UseCounts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.visitors import Staff, Visitor
from openrdms.model.job_list import JobQuery
from openrdms.model.web_session import Scope

router = APIRouter(prefix="/metrics", tags=["metrics"])

_CLASS = "Win32_RDMSVirtualDesktop"
_MOST_JOBS = 1000


class HostCounts(BaseModel):
    """``away`` are those that do not answer."""

    total: int
    away: int


class JobCounts(BaseModel):
    """Jobs that run, and their desktops."""

    running: int
    desktops: int
    failed: int


class Figures(BaseModel):
    """How the deployment is now. ``waiting`` are users who wait for a desktop, ``stopped`` the
    pools that prepare none after failures.
    """

    desktops: UseCounts
    by_collection: dict[str, UseCounts]
    by_host: dict[str, int]
    collections: int
    jobs: JobCounts
    hosts: HostCounts
    waiting: int
    stopped: list[str]


def read_figures(backend: Backend) -> Figures:
    """All of them."""
    total: Counter[str] = Counter()
    by_host: Counter[str] = Counter()
    by_collection: dict[str, Counter[str]] = {}
    for one in backend.desktop_list.tally():
        total[one.use] += one.desktops
        by_host[one.host] += one.desktops
        by_collection.setdefault(one.collection, Counter())[one.use] += one.desktops
    aliases = [one.alias for one in backend.collections.list_collections()]
    jobs = backend.jobs.page(JobQuery(running=True), None, _MOST_JOBS)
    hosts = backend.hosts.all()
    return Figures(
        desktops=UseCounts(**total),
        by_collection={alias: UseCounts(**uses) for alias, uses in by_collection.items()},
        by_host=dict(by_host),
        collections=len(aliases),
        jobs=JobCounts(
            running=len(jobs),
            desktops=sum(one.progress.desktops for one in jobs),
            failed=sum(one.progress.failed for one in jobs),
        ),
        hosts=HostCounts(
            total=len(hosts), away=sum(backend.health.is_away(host.name) for host in hosts)
        ),
        waiting=sum(backend.pools.waiting(alias) for alias in aliases),
        stopped=[alias for alias in aliases if backend.pools.stopped(alias)],
    )


def _measuring(visitor: Staff) -> Visitor:
    if visitor.token and Scope.READ in visitor.token.scopes:
        return visitor
    visitor.require(Scope.METRICS)
    return visitor


@router.get("")
def get_metrics(visitor: Annotated[Visitor, Depends(_measuring)]) -> Figures:
    """Desktops, jobs and hosts by their states. /metrics has more, for Prometheus."""
    with visitor.watch(_CLASS, ENUMERATE):
        return read_figures(visitor.backend)
