"""Runs a scenario: events on its clock, users, samples, and a report at the end."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path

from openrdms.adapters import simulator
from openrdms.model.collection import CollectionState
from openrdms.model.desktop_use import Use
from openrdms.model.errors import InvalidOperation, RdmsError
from openrdms.model.host import DiskKind
from openrdms.model.job import Job, JobAction, VmStatus
from openrdms.model.provisioning import JobDocument, OnError, render_job
from openrdms.twin import scenario as scenarios
from openrdms.twin.agenda import Agenda
from openrdms.twin.lag import Lag
from openrdms.twin.people import People
from openrdms.twin.report import JobEnd, Report, Sample
from openrdms.twin.scenario import Event, Scenario
from openrdms.twin.world import World

_SAMPLES = 300
"""Of a scenario; but not more than one a second."""

_NEVER = timedelta(days=3650)

Tell = Callable[[float, str], None]
"""Takes the part that is done, 0 to 1, and words."""


class TooFast(Exception):
    """The machine cannot keep up at this speed."""


def run(scenario: Scenario, speed: float | None, tell: Tell) -> Report:
    """Run it at ``speed``; without one at the scenario's, and at half of it, and so on down to 1,
    as long as the machine cannot keep up.
    """
    if speed is not None:
        return _run_once(scenario, speed, tell, give_up=False)
    tried = scenario.speed
    while tried > 1:
        try:
            report = _run_once(scenario, tried, tell, give_up=True)
        except TooFast:
            report = None
        if report and not report.distorted:
            return report
        tried = max(1.0, tried / 2)
    return _run_once(scenario, tried, tell, give_up=False)


def _run_once(scenario: Scenario, speed: float, tell: Tell, *, give_up: bool) -> Report:
    with tempfile.TemporaryDirectory(prefix="rdms-twin-") as directory:
        tell(0.0, f"making desktops at {speed:g} x")
        with closing(World(Path(directory), scenario, speed)) as world:
            world.open()
            return _Run(world, tell, give_up=give_up).run()


class _Run:
    def __init__(self, world: World, tell: Tell, *, give_up: bool) -> None:
        self._world = world
        self._tell = tell
        self._give_up = give_up
        self._scenario = world.scenario
        self._lag = Lag()
        self._report = Report(self._scenario.name, world.speed)
        self._agenda = Agenda(lambda: world.seconds, world.speed, self._lag)
        self._people = People(world, self._agenda, self._report)
        self._period = max(1.0, self._scenario.seconds / _SAMPLES)

    def run(self) -> Report:
        """To its end. TooFast when that is hopeless."""
        for event in self._scenario.events:
            self._agenda.at(event.at, partial(self._happen, event))
        self._agenda.at(0.0, partial(self._look, 0.0))
        with closing(self._people):
            self._agenda.run(self._scenario.seconds)
        report = self._report
        report.seconds = self._world.seconds
        report.note_lag(self._lag)
        report.jobs = [self._describe(job) for job in self._jobs()]
        report.orphans = len(self._world.audit.find_orphans().orphans)
        return report

    def _look(self, due: float) -> None:
        """Take a sample, let pools look at the clock, and come again."""
        world, scenario = self._world, self._scenario
        uses: Counter[Use] = Counter()
        for pool in scenario.pools:
            uses.update(world.store.count_uses(pool.name))
        self._report.samples.append(
            Sample(
                at=world.seconds,
                ready=uses[Use.READY],
                preparing=uses[Use.PREPARING],
                taken=uses[Use.TAKEN],
                in_work=uses[Use.WORK],
                waiting=sum(world.pools.waiting(pool.name) for pool in scenario.pools),
            )
        )
        world.pools.wake()
        self._lag.note_processor()
        if self._give_up and self._lag.is_hopeless:
            raise TooFast
        self._tell(due / scenario.seconds, f"{scenario.name} at {world.speed:g} x")
        self._agenda.at(due + self._period, partial(self._look, due + self._period))

    def _happen(self, event: Event) -> None:
        try:
            self._carry_out(event)
        except RdmsError as error:
            self._report.failures[f"{type(event).__name__}: {error}"] += 1

    def _carry_out(self, event: Event) -> None:
        match event:
            case scenarios.LogonStorm():
                self._people.storm(event)
            case scenarios.HostFault():
                host = self._world.hosts.all()[event.host - 1]
                simulator.set_fault(self._world.cluster, host.name, fault=event.fault)
            case scenarios.ImageFault():
                simulator.set_image_fault(self._world.cluster, event.image, event.fault)
            case scenarios.Update():
                self._update(event)
            case scenarios.Grow():
                self._grow(event)
            case scenarios.Cancel():
                self._cancel(event)

    def _update(self, event: scenarios.Update) -> None:
        document = JobDocument(
            action=JobAction.PATCH,
            on_error=OnError.STOP,
            collection=event.collection,
            disk_kind=DiskKind.LINKED,
            base_vm_location=f"image:{event.image}",
            waves=event.waves,
            probe=event.probe,
        )
        now, after = self._world.now(), event.force_after
        force = now + (_NEVER if after is None else timedelta(seconds=after))
        self._world.patching.schedule(event.collection, now, force, render_job(document))

    def _grow(self, event: scenarios.Grow) -> None:
        (pool,) = (pool for pool in self._scenario.pools if pool.name == event.collection)
        self._world.grow(pool, JobAction.UPDATE, event.desktops)

    def _cancel(self, event: scenarios.Cancel) -> None:
        jobs = self._world.store.list_jobs(running=True, collection=event.collection)
        if not jobs:
            raise InvalidOperation(f"{event.collection} has no job to cancel")
        for job in jobs:
            self._world.provisioning.cancel(job.guid)

    def _jobs(self) -> list[Job]:
        store = self._world.store
        jobs = [*store.list_jobs(running=False), *store.list_jobs(running=True)]
        return sorted(jobs, key=lambda job: job.started)

    def _describe(self, job: Job) -> JobEnd:
        rows = self._world.store.list_job_desktops(job.guid)
        statuses = Counter(row.status for row in rows)
        began = self._world.now() - job.started
        ended = self._world.now() - job.ended if job.ended else None
        return JobEnd(
            action=job.action,
            collection=job.collection,
            state=CollectionState(job.state).name,
            began=self._world.seconds - began.total_seconds(),
            ended=None if ended is None else self._world.seconds - ended.total_seconds(),
            succeeded=statuses[VmStatus.COMPLETE],
            failed=statuses[VmStatus.FAILED],
            reasons=dict(Counter(str(row.reason) for row in rows if row.error)),
        )
