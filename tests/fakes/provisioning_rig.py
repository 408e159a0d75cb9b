"""Provisioning over the simulator in one directory, without front ends.

A rig is one life of the service: open it again on the same directory for the next one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

from lxml import etree

from fakes.new_records import open_records
from openrdms.adapters import simulator
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.jobs.engine import JobEngine
from openrdms.jobs.tokens import Tokens
from openrdms.model.collection import Collection, CollectionState, CollectionType
from openrdms.model.host import DiskKind
from openrdms.model.job import Job, JobAction
from openrdms.model.patch import Patch
from openrdms.model.provisioning import HostAllocation, JobDocument, OnError, render_job
from openrdms.model.report import Report, parse_report
from openrdms.ports import Host, Store
from openrdms.security.audit_log import AuditLog
from openrdms.services.audit import Audit
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.images import Images
from openrdms.services.patching import Patching
from openrdms.services.provisioning import Provisioning
from openrdms.services.provisioning.factors import ConcurrencyFactors
from openrdms.services.sessions import Sessions

FAST = "hosts=3&slots=8&clone_ms=2&start_ms=2&boot_ms=10&agent_ms=1&destroy_ms=1"
"""A cluster that takes next to no time."""

POOL = "Pool"

_SCHEMA = etree.XMLSchema(
    etree.fromstring((resources.files("openrdms.model") / "report.xsd").read_bytes())
)


def now() -> datetime:
    return datetime.now(UTC)


class Rig:
    """``wrap_host`` and ``wrap_store`` put something around the ports, to watch or to kill."""

    def __init__(
        self,
        directory: Path,
        parameters: str = FAST,
        *,
        wrap_host: Callable[[Host], Host] = lambda host: host,
        wrap_store: Callable[[Store], Store] = lambda store: store,
        boot_deadline: float = 30.0,
    ) -> None:
        self.simulator = directory / "sim"
        state = directory / "state"
        state.mkdir(parents=True, exist_ok=True)
        self.store = wrap_store(open_records(state / "records.sqlite"))
        cluster = simulator.connect(f"simulator://{self.simulator}?{parameters}")
        self.hosts = Hosts(wrap_host(host) for host in cluster)
        self.images = Images(self.store, DebianImageTools(), state / "images", now)
        self.images.register(image for host in cluster for image in host.images())
        self.health = HostHealth(self.hosts, now)
        self.uses = DesktopUses(self.store, now)
        factors = ConcurrencyFactors(self.store)
        self.tokens = Tokens(self.hosts.get, factors)
        self.engine = JobEngine(f"sqlite:///{state / 'jobs.sqlite'}")
        self.provisioning = Provisioning(
            self.store,
            self.hosts,
            self.health,
            self.images,
            self.uses,
            self.tokens,
            self.engine,
            now,
            state / "prep",
            boot_deadline=boot_deadline,
        )
        audit_log = AuditLog(self.store, state / "audit-head", now)
        self.sessions = Sessions(self.store, self.hosts)
        self.patching = Patching(self.store, self.provisioning, audit_log, self.sessions, now)
        self.audit = Audit(self.store, self.hosts)

    def resume(self) -> Rig:
        self.provisioning.resume()
        self.patching.start()
        return self

    def close(self) -> None:
        self.patching.close()
        self.engine.close()
        self.health.close()
        self.hosts.close()
        self.store.close()

    def add_collection(
        self,
        alias: str = POOL,
        kind: CollectionType = CollectionType.POOLED,
        *,
        managed: bool = True,
    ) -> None:
        self.store.create_collection(Collection(alias, f"The {alias}", kind, is_managed=managed))

    def execute(self, document: JobDocument) -> str:
        return self.provisioning.execute(render_job(document))

    def schedule(self, seconds: float, document: JobDocument | None = None) -> Patch:
        """An update of the pool that is to start after so many seconds."""
        start = now() + timedelta(seconds=seconds)
        text = render_job(document or later(JobAction.PATCH))
        self.patching.schedule(POOL, start, start + timedelta(hours=1), text)
        return self.patch()

    def patch(self) -> Patch:
        patch = self.patching.find(POOL)
        assert patch is not None
        return patch

    def job(self, guid: str) -> Job:
        job = self.store.find_job(guid)
        assert job is not None
        return job

    def state(self, alias: str = POOL) -> CollectionState:
        collection = self.store.find_collection(alias)
        assert collection is not None
        return collection.state

    def report(self, guid: str) -> Report:
        """The report, which must be valid whenever it is asked for."""
        text = self.provisioning.report(guid)
        _SCHEMA.assertValid(etree.fromstring(text))
        return parse_report(text)

    def wait(self, guid: str, timeout: float = 60.0) -> Report:
        """The report of the ended job."""
        self.wait_until(lambda: self.job(guid).ended is not None, timeout)
        return self.report(guid)

    def run(self, document: JobDocument) -> Report:
        return self.wait(self.execute(document))

    def wait_until(self, condition: Callable[[], bool], timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "it did not come to be so in time"
            time.sleep(0.01)

    def truth(self) -> dict[str, Any]:
        """The simulator's own state, past the service."""
        return simulator.read_state(self.simulator)

    def vms(self) -> dict[str, list[str]]:
        """Files of every VM by its name, from the simulator's own state."""
        return {vm["name"]: vm["disks"] for host in self.truth()["hosts"] for vm in host["vms"]}

    def files(self) -> list[str]:
        return sorted(disk for host in self.truth()["hosts"] for disk in host["disks"])

    def orphans(self) -> list[object]:
        findings = self.audit.find_orphans()
        return [*findings.orphans, *findings.unreachable]


def create(
    hosts: Iterable[tuple[str, int]] = (("host1.sim.local", 2),), **fields: Any
) -> JobDocument:
    """A Create of the pool; ``hosts`` are pairs of name and count."""
    document = JobDocument(
        action=JobAction.CREATE,
        on_error=OnError.STOP,
        collection=POOL,
        disk_kind=DiskKind.LINKED,
        base_vm_location="image:tiny",
        name_prefix="pool-",
        hosts=tuple(HostAllocation(host, count) for host, count in hosts),
    )
    return replace(document, **fields)


def later(action: JobAction, *selected: str, **fields: Any) -> JobDocument:
    """A Delete, Patch or Update of the pool."""
    on_error = OnError.CONTINUE if action is JobAction.DELETE else OnError.STOP
    given = {"action": action, "on_error": on_error, "selected": selected} | fields
    return replace(create(()), **given)


class Meddled:
    """A host in between: ``meddle`` sees each call's name and VM first, and may raise."""

    def __init__(self, host: Any, meddle: Callable[[str, str], None], vm: str = "") -> None:
        self._host = host
        self._meddle = meddle
        self._vm = vm

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._host, name)
        if name == "guest":
            return lambda vm: Meddled(value(vm), self._meddle, vm)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            of = self._vm or (getattr(args[0], "name", args[0]) if args else "")
            self._meddle(name, str(of))
            return value(*args, **kwargs)

        return call


class Faults:
    """Raises what is in ``plan`` for (call, VM), and remembers every call."""

    def __init__(self, plan: dict[tuple[str, str], Exception] | None = None) -> None:
        self.plan = plan or {}
        self.calls: list[tuple[str, str]] = []
        self.before: Callable[[str, str], None] = lambda call, vm: None

    def __call__(self, call: str, vm: str) -> None:
        self.calls.append((call, vm))
        self.before(call, vm)
        if (call, vm) in self.plan:
            raise self.plan[call, vm]

    def wrap(self, host: Host) -> Host:
        meddled: Any = Meddled(host, self)
        return meddled
