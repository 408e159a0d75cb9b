"""The parts of a service over a simulated cluster, in this process, with a clock that runs fast.

Everything that has a duration on the hosts and everything that services reckon by ``ports.Clock``
goes by that clock. What they wait for by the machine's is shortened here as far as they let it be
set, and looked at anew each second of the scenario where they do not.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from openrdms.adapters import simulator, sql
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.jobs.engine import JobEngine
from openrdms.jobs.tokens import Tokens
from openrdms.model.account import Role
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.errors import OperationFailed
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import HostAllocation, JobDocument, OnError, render_job
from openrdms.security.accounts import Accounts
from openrdms.security.audit_log import AuditLog
from openrdms.services.access import Access
from openrdms.services.audit import Audit
from openrdms.services.brokering import Brokering, Parts, User
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.first_start import FirstStart
from openrdms.services.host_health import HostHealth, Pace
from openrdms.services.hosts import Hosts
from openrdms.services.images import Images
from openrdms.services.patching import Patching
from openrdms.services.pools import Pools
from openrdms.services.preparation import Preparation
from openrdms.services.provisioning import Provisioning
from openrdms.services.provisioning.factors import ConcurrencyFactors
from openrdms.services.reconciling import Reconciling
from openrdms.services.session_watch import SessionWatch
from openrdms.services.sessions import Sessions
from openrdms.twin.scenario import Pool, Scenario

_BOOT_DEADLINE = 600.0
"""Seconds of the scenario until a guest that boots is given up, as the service has it."""

_PACE = Pace()
_SWITCH_SECONDS = 0.002
"""SQLite gives the GIL away at each statement, and would wait 5 ms for it (app.running)."""

_GROUP = "Staff"
_LOOK_SECONDS = 0.05


class World:
    """A service's parts over the scenario's cluster. ``close`` it."""

    def __init__(self, directory: Path, scenario: Scenario, speed: float) -> None:
        """``speed`` is how many seconds pass in one of the machine's."""
        self.scenario = scenario
        self.speed = speed
        self.cluster = directory / "cluster"
        self._clock = simulator.hurried(speed)
        self._begun = self._clock.now()
        self._ends = ExitStack()
        sys.setswitchinterval(_SWITCH_SECONDS)
        state = directory / "state"
        state.mkdir(parents=True)
        self.store = sql.open_store(f"sqlite:///{state / 'records.sqlite'}")
        self._ends.callback(self.store.close)
        parameters = "&".join(f"{name}={value}" for name, value in scenario.cluster.items())
        uri = f"simulator://{self.cluster}?{parameters}&users=0&seed={scenario.seed}"
        self.hosts = Hosts(simulator.connect(uri, self._clock))
        self._ends.callback(self.hosts.close)
        self._build(state)

    def _build(self, state: Path) -> None:
        """As app.open_core and app.Service do."""
        store, hosts, now = self.store, self.hosts, self.now
        health = HostHealth(hosts, now, _hurried(_PACE, self.speed))
        self._ends.callback(health.close)
        self.uses = uses = DesktopUses(store, now)
        tokens = Tokens(hosts.get, ConcurrencyFactors(store))
        self.images = Images(store, DebianImageTools(), state / "images", now)
        engine = JobEngine(f"sqlite:///{state / 'jobs.sqlite'}")
        self._ends.callback(engine.close)
        deadline = _BOOT_DEADLINE / self.speed
        self.provisioning = Provisioning(
            *(store, hosts, health, self.images, uses, tokens, engine, now),
            state / "staging",
            boot_deadline=deadline,
        )
        audit_log = AuditLog(store, state / "audit-head", now)
        sessions = Sessions(store, hosts)
        self.patching = Patching(store, self.provisioning, audit_log, sessions, now)
        self._reconciling = Reconciling(store, hosts, health, uses, now)
        preparation = Preparation(store, hosts, self.images, uses, tokens, deadline)
        self.pools = Pools(store, hosts, health, uses, preparation, now)
        self._watch = SessionWatch(store, hosts, health, uses, now)
        self._accounts = Accounts(store, state / "nt-hashes", now)
        self._access = Access(store, self._accounts)
        self.brokering = Brokering(
            Parts(
                store=store,
                hosts=hosts,
                uses=uses,
                access=self._access,
                health=health,
                tokens=tokens,
                watch=self._watch,
                pools=self.pools,
                clock=now,
                identify=FirstStart(store, hosts).identify,
            )
        )
        self.audit = Audit(store, hosts)
        self._health = health

    def now(self) -> datetime:
        """The services' clock (ports.Clock)."""
        return datetime.fromtimestamp(self._clock.now(), UTC)

    @property
    def seconds(self) -> float:
        """Seconds of the scenario since its clock began."""
        return self._clock.now() - self._begun

    def wait(self, seconds: float) -> None:
        """Sleep so many seconds of the scenario."""
        self._clock.sleep(seconds)

    def open(self) -> None:
        """Start everything, fill the collections, and then begin the scenario's clock.

        OperationFailed when a collection cannot be filled.
        """
        self._make_images()
        for host in self.hosts.all():
            spares = partial(replace, idle_count=self.scenario.idle_count)
            self.store.change_host_settings(host.name, spares)
        self._health.start()
        self._reconciling.settle_uses()
        self.provisioning.resume()
        self.patching.start()
        self._ends.callback(self.patching.close)
        self._reconciling.start()
        self._watch.start()
        self._ends.callback(self._watch.close)
        self.pools.start()
        self._ends.callback(self.pools.close)
        self._accounts.add("user", Role.USER, groups=[_GROUP])
        for pool in self.scenario.pools:
            self._fill(pool)
        self._begun = self._clock.now()

    def close(self) -> None:
        """End it where it is."""
        self._ends.close()

    def user(self, name: str) -> User:
        """Somebody who may use all collections."""
        return replace(self.brokering.find_user("user", "CORP"), name=name)

    def grow(self, pool: Pool, action: JobAction, count: int) -> str:
        """Begin a job that adds desktops; its GUID."""
        document = JobDocument(
            action=action,
            on_error=OnError.CONTINUE,
            collection=pool.name,
            disk_kind=DiskKind.LINKED,
            base_vm_location=f"image:{pool.image}",
            name_prefix=f"{pool.name}-",
            hosts=(HostAllocation("", count),),
            start=pool.start,
        )
        return self.provisioning.execute(render_job(document))

    def _make_images(self) -> None:
        (tiny,) = self.hosts.all()[0].images()
        self.images.register([tiny])
        for image in self.scenario.images:
            made = self.store.add_image(replace(tiny, name=image.name))
            simulator.set_image_fault(self.cluster, made.reference, image.fault)

    def _fill(self, pool: Pool) -> None:
        kind = CollectionType.AUTO_PERSONAL if pool.personal else CollectionType.POOLED
        self.store.create_collection(
            Collection(
                *(pool.name, pool.name, kind),
                is_managed=True,
                rollback_enabled=pool.rollback,
                security_descriptor=self._access.make_descriptor([_GROUP]),
            )
        )
        guid = self.grow(pool, JobAction.CREATE, pool.desktops)
        while (job := self.store.find_job(guid)) and job.ended is None:
            time.sleep(_LOOK_SECONDS)
        made = sum(self.store.count_uses(pool.name).values())
        if made < pool.desktops:
            raise OperationFailed(f"{pool.name}: {made} of {pool.desktops} desktops were made")


def _hurried(pace: Pace, speed: float) -> Pace:
    return Pace(
        pace.period / speed, pace.patience / speed, pace.first / speed, pace.longest / speed
    )
