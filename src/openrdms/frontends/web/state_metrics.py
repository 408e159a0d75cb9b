"""States for Prometheus, read when it asks: from records by counting, and from memory.

No host is asked, so that a frozen one does not make a scrape late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import metadata

from prometheus_client.core import GaugeMetricFamily, Metric

from openrdms.frontends.web.backend import Backend
from openrdms.model.desktop_use import Use
from openrdms.model.job_list import JobQuery

_MOST_JOBS = 1000


class StateCollector:
    """A collector of prometheus_client over one service."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterator[Metric]:
        """All of them, as they are at this moment. OperationFailed when records do not answer."""
        version = [((metadata.version("openrdms"),), 1.0)]
        yield _gauge("build_info", "The service that answers.", ("version",), version)
        yield from self._count_desktops()
        yield from self._count_jobs()
        yield from self._describe_hosts()
        yield from self._describe_pools()
        displays = [((), float(self._backend.connections.total()))]
        yield _gauge("displays_open", "Connections to desktops' screens.", (), displays)

    def _count_desktops(self) -> Iterator[Metric]:
        by_collection: Counter[tuple[str, str]] = Counter()
        by_host: Counter[tuple[str, str]] = Counter()
        for one in self._backend.desktop_list.tally():
            by_collection[one.collection, one.use] += one.desktops
            by_host[one.host, one.use] += one.desktops
        told = "Desktops by what may be done with them"
        yield _gauge("desktops", f"{told}.", ("collection", "use"), by_collection.items())
        yield _gauge("host_desktops", f"{told}, on a host.", ("host", "use"), by_host.items())
        sessions: Counter[tuple[str]] = Counter()
        for (collection, use), count in by_collection.items():
            sessions[(collection,)] += count * (use == Use.TAKEN)
        told = "Pooled desktops that somebody has."
        yield _gauge("assignments", told, ("collection",), sessions.items())

    def _count_jobs(self) -> Iterator[Metric]:
        jobs: Counter[tuple[str, str]] = Counter()
        for one in self._backend.jobs.count():
            state = one.state.name.lower() if one.ended else "running"
            jobs[one.action.name.lower(), state] += one.jobs
        yield _gauge("jobs", "Jobs on record by how they ended.", ("action", "state"), jobs.items())
        running = self._backend.jobs.page(JobQuery(running=True), None, _MOST_JOBS)
        progress = [one.progress for one in running]
        succeeded, failed = (sum(p.succeeded for p in progress), sum(p.failed for p in progress))
        rest = sum(one.desktops for one in progress) - succeeded - failed
        yield _gauge(
            "running_job_desktops",
            "Desktops of the jobs that run.",
            ("status",),
            [(("succeeded",), succeeded), (("failed",), failed), (("pending",), rest)],
        )

    def _describe_hosts(self) -> Iterator[Metric]:
        backend = self._backend
        names = [host.name for host in backend.hosts.all()]
        loads = {name: backend.tokens.load(name) for name in names}
        reachable = [((name,), float(not backend.health.is_away(name))) for name in names]
        yield _gauge("host_up", "1 while a host answers.", ("host",), reachable)
        degraded = [((name,), float(backend.tokens.is_degraded(name))) for name in names]
        told = "1 while a host fails or is much slower than others."
        yield _gauge("host_degraded", told, ("host",), degraded)
        for what, told in (
            ("limit", "Calls that a host is given at a time."),
            ("running", "Calls that are under way on a host."),
            ("waiting", "Calls that wait for a host."),
        ):
            values = [((name,), float(getattr(loads[name], what))) for name in names]
            yield _gauge(f"host_calls_{what}", told, ("host",), values)

    def _describe_pools(self) -> Iterator[Metric]:
        pools = self._backend.pools
        aliases = [one.alias for one in self._backend.collections.list_collections()]
        waiting = [((alias,), float(pools.waiting(alias))) for alias in aliases]
        told = "Users who wait for a desktop."
        yield _gauge("users_waiting", told, ("collection",), waiting)
        stopped = [((alias,), float(bool(pools.stopped(alias)))) for alias in aliases]
        told = "1 while a pool prepares no desktops after failures."
        yield _gauge("pool_stopped", told, ("collection",), stopped)


def _gauge(
    name: str, told: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    family = GaugeMetricFamily(f"openrdms_{name}", told, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
