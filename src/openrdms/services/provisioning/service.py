"""Provisioning jobs as callers see them: accept, cancel, report, list."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from openrdms import ports
from openrdms.config import BOOT_TIMEOUT
from openrdms.jobs.engine import WORKFLOW_VERSION, JobEngine, Run
from openrdms.jobs.tokens import Tokens
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.collection import CollectionState
from openrdms.model.job import Job, JobDesktop, parse_guid
from openrdms.model.member import Member
from openrdms.model.patch import FORCE_LOG_OFF, Patch, as_job
from openrdms.model.plan import Plan, render_plan
from openrdms.model.provisioning import parse_job
from openrdms.model.reason import Wait
from openrdms.model.report import Report, build_report, render_report
from openrdms.services.alone import ALONE
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.images import Images
from openrdms.services.provisioning import workflow
from openrdms.services.provisioning.acceptance import Acceptance, PrepRequest
from openrdms.services.provisioning.agents import AgentEvents
from openrdms.services.provisioning.estimates import estimate_end
from openrdms.services.provisioning.planner import Planner
from openrdms.services.provisioning.prep_plan import plan_prep
from openrdms.services.provisioning.questions import Questions, Told
from openrdms.services.provisioning.step_times import StepTimes
from openrdms.services.provisioning.work import Tools

_log = structlog.get_logger(__name__)

_SCHEDULED = frozenset({CollectionState.UPDATE_SCHEDULED})

_VERSION = "workflow_version"
"""Option of a job: that of the service that has accepted it."""


class Provisioning:
    """The five Provisioning methods of Win32_RDMSVirtualDesktopCollection. Safe from any thread.

    GUIDs are taken with or without braces, in any case, and given as {8-4-4-4-12} upper case.
    """

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        health: HostHealth,
        images: Images,
        uses: DesktopUses,
        tokens: Tokens,
        engine: JobEngine,
        clock: ports.Clock,
        staging: Path,
        *,
        members: ports.MemberStore = ALONE,
        boot_deadline: float = BOOT_TIMEOUT,
    ) -> None:
        """``staging`` is a directory for the copies of Prep jobs, best beside the images."""
        self._store = store
        self._engine = engine
        self._clock = clock
        self._acceptance = Acceptance(store, hosts, images, is_away=health.is_away)
        self._accepting = threading.Lock()  # two Prep jobs must not take the same VM
        agents = AgentEvents(hosts, health)
        self._agents = agents
        self.times = StepTimes(store)
        self._tools = tools = Tools(
            store=store,
            hosts=hosts,
            health=health,
            images=images,
            uses=uses,
            agents=agents,
            tokens=tokens,
            factor=tokens.factor,
            times=self.times,
            clock=clock,
            members=members,
            staging=staging,
            boot_deadline=boot_deadline,
        )
        self._planner = Planner(tools)
        self._questions = Questions(store, members.me)

    def resume(self) -> None:
        """Begin to work, with the jobs that an earlier process left. Call it once."""
        self._agents.listen()
        self.times.load()
        self._store.subscribe(self._hear)
        self._engine.launch(self._run)
        self._begin_all()

    def resume_jobs(self) -> None:
        """Go on with those jobs that have not ended and that nobody runs. One service at a time.

        Whoever was fenced takes up work until it learns of it: what was being taken over is its
        again, if it comes back right then.
        """
        for service in self._tools.members.list_fenced(self._engine.services):
            self._engine.take_over(service)
        self._engine.renew()
        self._begin_all()

    def _begin_all(self) -> None:
        for job in self._store.list_jobs(running=True):
            self._start(job)

    def take_over(self, service: str) -> None:
        """Have the jobs of another service that is fenced gone on with; see JobEngine."""
        self._engine.take_over(service)
        self._begin_all()

    def expect_jobs(self) -> None:
        """Services have come or gone, and may have handed on some."""
        self._engine.expect_work()

    def recheck_cancels(self) -> None:
        """Hear of cancels of which the notice was lost."""
        for guid in self._engine.running:
            job = self._store.find_job(guid)
            if job and job.cancel_requested:
                self._engine.wake(guid)

    def _hear(self, kind: Kind, keys: Sequence[str]) -> None:
        """A job that runs here was cancelled, perhaps through another service; or another one
        tells what it was asked.
        """
        if kind is Kind.CANCEL:
            for guid in keys:
                self._engine.wake(guid)
        elif kind is Kind.ANSWER:
            self._questions.hear(keys)

    async def _run(self, run: Run) -> None:
        await workflow.run_job(self._tools, run)

    def execute(self, document: str, guid: str | None = None) -> str:
        """Accept the job in ``document`` (XML) and start it; returns its GUID once it is on disk.

        With ``guid`` it gets that one: asked for again it is the same job, whatever has become of
        it. InvalidParameter names the element; NotFound, InvalidOperation, HostUnavailable.
        """
        if guid and self._store.find_job(guid):
            return guid
        parsed = parse_job(document)
        job, settings = self._acceptance.make_job(parsed, document, self._clock())
        job = replace(job, guid=guid or job.guid)
        job.options[_VERSION] = WORKFLOW_VERSION
        self._store.accept_job(job, settings)
        self._begin(job)
        return job.guid

    def make_job(self, document: str, now: datetime) -> Job:
        """The job that ``document`` would be now; nothing is accepted. Raises as ``execute``."""
        return self._acceptance.make_job(parse_job(document), document, now)[0]

    def plan(self, document: str, *, new: bool = False, patient: bool = False) -> str:
        """``find_plan`` as XML (model.plan)."""
        return render_plan(self.find_plan(document, new=new, patient=patient))

    def find_plan(
        self, document: str, *, new: bool = False, patient: bool = False, stay: float = 0.0
    ) -> Plan:
        """What ``execute`` would do with the document; nothing changes.

        ``new``: on a collection that would be created before; ``patient``: as an update that is
        scheduled without a ForceLogOffTime, else with one that is ``stay`` seconds after its start.
        InvalidParameter when it is no job.
        """
        return self._planner.plan(document, new=new, patient=patient, stay=stay)

    def execute_patch(self, patch: Patch) -> None:
        """Accept the job of a scheduled patch under its guid and start it; once, if it waits still.

        Raises as ``execute``: what was right when it was scheduled may be so no more.
        """
        document = parse_job(patch.document)
        job, _ = self._acceptance.make_job(document, patch.document, self._clock(), _SCHEDULED)
        if patch.force_log_off > patch.start:  # else nobody is to be asked
            job.options[FORCE_LOG_OFF] = patch.force_log_off.isoformat()
        job = replace(job, guid=patch.guid)
        job.options[_VERSION] = WORKFLOW_VERSION
        if self._store.start_patch(job):
            self._begin(job)

    def prepare(
        self,
        *,
        collection: str,
        host: str,
        vm: str,
        export_to: str,
        sysprep: bool,
        machine: str = "",
        user: str = "",
        password: str = "",
    ) -> str:
        """Accept a Prep job and start it; returns its GUID. NotFound, InvalidOperation.

        ``machine``, ``user`` and ``password`` are dropped here: generalising goes through the
        guest agent, which needs none of them.
        """
        request = PrepRequest(collection, host, vm, export_to, sysprep)
        with self._accepting:
            job = self._acceptance.make_prep_job(request, self._clock())
            job.options[_VERSION] = WORKFLOW_VERSION
            self._store.accept_job(job)
        self._begin(job)
        return job.guid

    def find_prep_plan(
        self, *, collection: str, host: str, vm: str, export_to: str, sysprep: bool
    ) -> Plan:
        """What ``prepare`` would do, or why it would be refused; nothing changes."""
        request = PrepRequest(collection, host, vm, export_to, sysprep)
        return plan_prep(self._tools, self._acceptance, request)

    def cancel(self, guid: str) -> None:
        """Cancel a job; when it returns the cancel is on disk and nothing more begins.

        Repeating it is fine. NotFound; InvalidParameter for what is no GUID; InvalidOperation
        when the job has ended or is a Delete.
        """
        job = self._store.request_cancel(parse_guid(guid), self._clock())
        self._engine.wake(job.guid)
        if not job.ended:
            self._begin(job)  # it may have stopped at an error that no retry cured

    def _begin(self, job: Job) -> None:
        try:
            self._start(job)
        except Exception:  # noqa: BLE001  what was accepted stays so: the next start goes on
            _log.exception("workflow not started", job=job.guid)

    def _start(self, job: Job) -> None:
        self._engine.start(job.guid, int(job.options.get(_VERSION, 0)))

    def report(self, guid: str) -> str:
        """``find_report`` as XML (model.report)."""
        return render_report(self.find_report(guid))

    def find_report(self, guid: str) -> Report:
        """The job's report. NotFound, InvalidParameter.

        Job and collection change state in one transaction, so the report is never ahead of
        CollectionState.
        """
        job = self.get_job(guid)
        rows = self._list_rows(job)
        if job.ended is None and job.guid not in self._tools.works:
            return self._report_elsewhere(job, rows)
        return build_report(job, rows, *self._tell(job, rows))

    def _report_elsewhere(self, job: Job, rows: Sequence[JobDesktop]) -> Report:
        """Of a job that does not run here, if at all."""
        runner = self._find_runner(job)
        told = self._ask(runner, job)
        if told is None:
            return build_report(job, rows, note=self._say_who_runs(job, runner))
        return build_report(job, rows, *told)

    def _ask(self, runner: Member | None, job: Job) -> Told | None:
        return self._questions.ask(runner.id, job.guid) if runner else None

    def _tell(self, job: Job, rows: Sequence[JobDesktop]) -> Told:
        """Of a job that runs here, or has ended."""
        waits = self._tools.waits.of_job(job.guid)
        return Told(waits, estimate_end(self._tools, job, rows, waits))

    def answer(self, questions: Sequence[str]) -> None:
        """Tell other services what they ask of jobs that run here (see Questions)."""
        self._questions.answer(questions, self._tell_others)

    def _tell_others(self, guid: str) -> Told | None:
        if guid not in self._tools.works:
            return None
        job = self.get_job(guid)
        return self._tell(job, self._list_rows(job))

    def _find_runner(self, job: Job) -> Member | None:
        """Which other service runs it: that one alone knows what its desktops wait for."""
        members = self._tools.members
        if not members.me or job.state in _SCHEDULED:
            return None
        runner = self._store.find_runner(job.guid)
        return next((one for one in members.list_live() if one.id == runner != members.me), None)

    def _say_who_runs(self, job: Job, runner: Member | None) -> str:
        """Why there is no word of waits."""
        if not self._tools.members.me or job.state in _SCHEDULED:
            return ""
        if runner is None:
            return "no service runs this job at the moment: one will begin or go on with it"
        return (
            f"service {runner.name} runs this job, and has not told what its desktops wait for, "
            "nor when it will have ended"
        )

    def _list_rows(self, job: Job) -> list[JobDesktop]:
        """A job that runs has them in memory, as they were last written: it is asked often."""
        work = self._tools.works.get(job.guid)
        if job.ended is None and work and work.is_planned:
            return list(work.rows.values())
        return self._store.list_job_desktops(job.guid)

    def list_waits(self, guid: str) -> Mapping[int, Wait]:
        """What desktops of a job wait for, by their ordinals. NotFound, InvalidParameter."""
        if guid in self._tools.works or not self._tools.members.me:
            return self._tools.waits.of_job(guid)
        job = self.get_job(guid)
        told = None if job.ended else self._ask(self._find_runner(job), job)
        return told.waits if told else {}

    def get_job(self, guid: str) -> Job:
        """A job, or what is scheduled to become one. NotFound, InvalidParameter."""
        guid = parse_guid(guid)
        job = self._store.find_job(guid)
        if job is None and (patch := self._store.find_patch_of_job(guid)):
            job = self._store.find_job(guid) or as_job(patch)  # it may just have become one
        if job is None:
            raise errors.NotFound(f"there is no job {guid}")
        return job

    def list_guids(self, *, running: bool, collection: str | None = None) -> list[str]:
        """Jobs under way, or ended ones, in order of their start; of one collection or of all."""
        return [job.guid for job in self._store.list_jobs(running=running, collection=collection)]
