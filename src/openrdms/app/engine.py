"""What acts by itself over a core: jobs, pools, sessions, who waits for a desktop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from openrdms.adapters.node_probe import NodeProbe
from openrdms.app.core import Core, now
from openrdms.jobs.engine import JobEngine
from openrdms.model.change import Kind
from openrdms.model.task import INTERRUPTED
from openrdms.providers.rdms import Services
from openrdms.security.late_records import LateRecords
from openrdms.services.assignments import Assignments
from openrdms.services.brokering import Brokering, Parts
from openrdms.services.changes import Changes
from openrdms.services.collections import Collections
from openrdms.services.deployment import Deployment
from openrdms.services.desktops import Desktops
from openrdms.services.first_start import FirstStart
from openrdms.services.live_connections import LiveConnections
from openrdms.services.local_copy import LocalCopy
from openrdms.services.nodes import Nodes
from openrdms.services.others import Others
from openrdms.services.patching import Patching
from openrdms.services.pools import Pools
from openrdms.services.preparation import Preparation
from openrdms.services.provisioning import Provisioning
from openrdms.services.releasing import Releasing
from openrdms.services.run_states import RunStates
from openrdms.services.session_hosts import SessionHosts
from openrdms.services.session_watch import SessionWatch
from openrdms.services.sessions import Sessions
from openrdms.services.settings import Directory, Settings
from openrdms.services.user_news import UserNews


class Engine:
    """The use cases of a running service, each once, and what starts them."""

    def __init__(self, core: Core, boot_timeout: float) -> None:
        """``boot_timeout`` in seconds."""
        self._core = core
        self.changes = Changes()
        self.changes.follow(core.store, core.hosts, core.health)
        self.provisioning = _make_provisioning(core, boot_timeout)
        self.sessions = Sessions(core.store, core.hosts)
        self.sessions.subscribe(lambda vm: self.changes.publish(Kind.SESSION, [vm]))
        self.patching = _make_patching(core, self.provisioning, self.sessions)
        self.watch = _make_watch(core)
        self.pools = _make_pools(core, boot_timeout)
        self.releasing = Releasing(core.store, core.hosts, core.uses, self.pools.seconds)
        self._first_start = FirstStart(core.store, core.hosts)
        parts = (self.watch, self.pools, self.provisioning, self._first_start)
        self.brokering = _make_brokering(core, *parts)
        late_file = core.state_dir / "security" / "late-records"
        self.late_records = LateRecords(core.audit_log, late_file, now)
        self.local_copy = _make_local_copy(core, self.late_records)
        self.connections = LiveConnections(
            core.store,
            core.uses,
            core.accounts,
            now,
            members=core.members,
            copy=self.local_copy,
        )
        self.user_news = UserNews(core.store, self.brokering, core.uses, core.hosts)
        self.run_states = RunStates(core.store, core.hosts, core.uses, self.pools.prepare)
        self.services = self._make_services()
        self._others = self._make_others()
        self._is_started = False

    def start(self) -> None:
        """Take up what was interrupted, and act from now on."""
        core = self._core
        self._others.start()
        core.publishing.synchronize()  # records older than the feed have none
        core.health.start()
        core.reconciling.settle_uses()
        self.provisioning.resume()
        self.patching.start()
        core.reconciling.start()
        self.watch.start()
        self.pools.start()
        self.connections.start()
        core.second_factors.go_by_memory(self.local_copy.is_good)
        self.local_copy.start(self._write_late)
        self.user_news.start(self.changes.publish)
        self._first_start.start()
        core.moving.start()
        core.draining.start(core.host_states)
        if core.members.me:
            self._is_started = True
            self._take_duties()
        core.membership.watch(self._take_over, self.provisioning.resume_jobs)

    def _write_late(self) -> None:
        """What was done while the records were away. RecordsUnavailable, OperationFailed."""
        self._core.second_factors.late_steps.write()
        self.late_records.write()
        self._core.audit_log.write_late()

    def _take_over(self, service: str) -> None:
        """Go on with what another one, that is dead, had in hand."""
        self.provisioning.take_over(service)
        core = self._core
        core.reconciling.settle_uses()
        core.store.end_tasks(INTERRUPTED, now())
        core.moving.settle_soon()
        core.images.clear()
        core.audit_log.close_calls(service)
        self._take_duties()

    def _take_duties(self) -> None:
        """Services, or what was heard of them, have changed."""
        if not self._is_started:
            return
        self.provisioning.expect_jobs()
        self._core.reconciling.take_duty()
        self.watch.take_duty()
        self.pools.take_duty()
        self.patching.wake()
        self.brokering.hear_lines([one.alias for one in self._core.store.list_collections()])

    def _make_others(self) -> Others:
        core = self._core
        return Others(
            core.store,
            {
                Kind.ACCOUNT: self._hear_of_accounts,
                Kind.DESKTOP: self._hear_of_desktops,
                Kind.COLLECTION: self._hear_of_collections,
                Kind.HOST: core.host_states.hear,
                Kind.LINE: self.brokering.hear_lines,
                Kind.POOL: self.pools.hear_reset,
                Kind.MEMBER: lambda _services: self._take_duties(),
                Kind.QUESTION: self.provisioning.answer,
            },
            anew=(
                core.accounts.refresh,
                core.second_factors.reread_all,
                self.local_copy.forget,
                core.uses.hear_all,
                self.pools.hear,
                lambda: core.host_states.hear(host.name for host in core.hosts.all()),
                core.moving.settle_soon,
                self.provisioning.recheck_cancels,
                self._take_duties,
                self.changes.reset,
            ),
        )

    def _hear_of_accounts(self, names: Sequence[str]) -> None:
        self._core.accounts.refresh(names)
        self._core.second_factors.reread(names)

    def _hear_of_desktops(self, names: Sequence[str]) -> None:
        self._core.uses.hear(names)
        self.pools.hear(names)

    def _hear_of_collections(self, aliases: Sequence[str]) -> None:
        self.patching.wake()
        for alias in aliases:
            self.pools.wake(alias)

    def _make_services(self) -> Services:
        core = self._core
        collections = Collections(core.store, core.hosts, core.uses)
        collections.subscribe(self.pools.note_collection)
        collections.subscribe(self.watch.note_collection)
        deployment = Deployment(core.store, core.members.list_live)
        return Services(
            collections=collections,
            desktops=Desktops(core.store, core.hosts, core.health, self.run_states, core.uses),
            provisioning=self.provisioning,
            patching=self.patching,
            sessions=self.sessions,
            deployment=deployment,
            nodes=Nodes(core.store, core.hosts, deployment.list_brokers, NodeProbe()),
            session_hosts=SessionHosts(core.store, deployment),
            assignments=Assignments(core.store),
            settings=Settings(
                core.store, _directories(core.state_dir), core.databases.connection_string
            ),
            publishing=core.publishing,
        )


def _make_local_copy(core: Core, late_records: LateRecords) -> LocalCopy:
    parts = (core.store, core.access, core.hosts, core.uses, late_records, now)
    return LocalCopy(*parts, core.members)


def _make_provisioning(core: Core, boot_timeout: float) -> Provisioning:
    return Provisioning(
        core.store,
        core.hosts,
        core.health,
        core.images,
        core.uses,
        core.tokens,
        JobEngine(core.databases.workflows, core.members.me, core.end),
        now,
        core.state_dir / ("images/.prep" if core.members.me else "staging"),  # shared
        members=core.members,
        boot_deadline=boot_timeout,
    )


def _make_patching(core: Core, provisioning: Provisioning, sessions: Sessions) -> Patching:
    holds_duty = partial(core.members.hold_duty, "schedules")
    return Patching(core.store, provisioning, core.audit_log, sessions, now, holds_duty)


def _make_watch(core: Core) -> SessionWatch:
    holds_duty = partial(core.members.hold_duty, "sessions")
    return SessionWatch(core.store, core.hosts, core.health, core.uses, now, holds_duty=holds_duty)


def _make_pools(core: Core, boot_timeout: float) -> Pools:
    preparation = Preparation(
        core.store, core.hosts, core.images, core.uses, core.tokens, boot_timeout
    )
    holds_duty = partial(core.members.hold_duty, "pools")
    pools = Pools(core.store, core.hosts, core.health, core.uses, preparation, now, holds_duty)
    core.host_states.subscribe(pools.note_settings)
    return pools


def _make_brokering(
    core: Core,
    watch: SessionWatch,
    pools: Pools,
    provisioning: Provisioning,
    first_start: FirstStart,
) -> Brokering:
    return Brokering(
        Parts(
            core.store,
            core.hosts,
            core.uses,
            core.access,
            core.health,
            core.tokens,
            watch,
            pools,
            now,
            first_start.identify,
            core.members,
            provisioning.times,
        )
    )


def _directories(state_dir: Path) -> dict[Directory, Path]:
    """Where the service keeps things by itself."""
    images = state_dir / "images"
    return {
        Directory.BASE: images,
        Directory.DIFF: state_dir / "desktops",
        Directory.EXPORT: images,
    }
