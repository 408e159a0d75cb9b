"""Makes hosts and records agree: at start, when a host comes back, and when a VM does not fit.

What cannot be right is set apart or removed, on record first, and what is gone from a host is kept
on record until it is back or removed by a job. Rules are in model.reconcile. Each host is looked
at in a thread of its own, one at a time; what a job or a pool has in hand is left alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmEvent, VmEventKind
from openrdms.model.plan import Plan, PlannedChange, PlannedDesktop
from openrdms.model.reason import ReasonCode
from openrdms.model.reconcile import Finding
from openrdms.services import audit
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import Absence, HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.image_removal import drop_removed
from openrdms.services.repairs import Repairs

_SETTLING = 1.0
"""Seconds in which events of a host are gathered before it is looked at."""

_AT_ONCE = 4
"""Hosts that are looked at at a time: of fifty that come back together each takes the records'
time of all its desktops.
"""

_log = structlog.get_logger(__name__)


class Reconciling:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        health: HostHealth,
        uses: DesktopUses,
        clock: ports.Clock,
        holds_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        """``holds_duty``: whether this service is the one that looks at hosts by itself."""
        self._store = store
        self._holds_duty = holds_duty
        self._acts = False
        self._hosts = hosts
        self._health = health
        self._uses = uses
        self._repairs = Repairs(store, uses, clock)
        self._lock = threading.Lock()
        self._asked: dict[str, bool] = {}
        """Hosts that have a thread now; True when they are to be looked at once more."""
        self._heard: dict[str, dict[str, VmEventKind]] = {}
        """By host and VM what was heard last, while events are gathered."""
        self._said: dict[str, set[tuple[str, ...]]] = {}
        """What was logged by host, so that it is logged once."""
        self._turns = threading.BoundedSemaphore(_AT_ONCE)
        self._closed = threading.Event()
        self._ends: list[Callable[[], None]] = []

    def settle_uses(self) -> None:
        """What no process has in hand any more is UNREADY. Call it before jobs and pools begin, and
        when another service has died: what those that live have in hand is left alone.
        """
        left = {use.name: use for use in self._store.list_left_uses()}
        running = {job.guid for job in self._store.list_jobs(running=True)}
        self._uses.change(
            left, lambda use: _settle(use, running) if use == left[use.name] else None
        )

    def start(self) -> None:
        """Look at every host in the background, and from now on at those that ask for it."""
        self._ends = [
            self._health.subscribe(self._hear_of_host),
            self._hosts.subscribe(self._hear_of_vm),
        ]
        self.take_duty()

    def take_duty(self) -> None:
        """Look at every host if nobody else does, now that another service may have died."""
        if not self._acts and self._holds_duty():
            self._acts = True
            for host in self._hosts.all():
                self.request(host.name)

    def close(self) -> None:
        """Look at nothing more; waits for nothing."""
        self._closed.set()
        for end in self._ends:
            end()

    def request(self, host: str) -> None:
        """Have a host looked at soon."""
        with self._lock:
            again = host in self._asked
            self._asked[host] = again
        if not again:
            threading.Thread(
                target=self._run, args=(host,), name=f"reconcile-{host}", daemon=True
            ).start()

    def forget(self, host: str) -> list[str]:
        """Give up a host that is away, with all its desktops; returns their names.

        Jobs that wait for it go on without. Should it come back, its VMs are strangers that are
        set apart. NotFound; InvalidOperation while it answers.
        """
        self._look_for(host)
        gone = self._health.give_up(host)
        names = self._store.forget_desktops(gone.name)
        _log.warning("a host was given up", host=gone.name, desktops=len(names))
        return names

    def plan_forgetting(self, host: str) -> Plan:
        """What ``forget`` would do now, and refuses; nothing changes."""
        self._look_for(host)
        gone = self._health.get_away(host).name
        holders = {use.name: use.holder for use in self._store.list_uses(use=Use.TAKEN)}
        found = [
            one for one in self._store.list_desktops() if one.host.casefold() == gone.casefold()
        ]
        desktops = (
            PlannedDesktop(
                *(one.name, gone, ReasonCode.HOST_AWAY),
                note=f"{holders[one.name]} has it no more" if one.name in holders else "",
            )
            for one in found
        )
        return Plan(
            collection="",
            action=PlannedChange.FORGET,
            seconds=0,
            basis="records alone change",
            warnings=tuple(self._list_losing(gone)),
            desktops=tuple(desktops),
        )

    def _look_for(self, host: str) -> None:
        """A host may be away without anybody knowing it yet. NotFound."""
        if not self._health.is_away(host) and not self._hosts.get(host).describe().reachable:
            self._health.note_failure(host, errors.HostUnavailable(f"{host} cannot be reached"))

    def _list_losing(self, host: str) -> Iterator[str]:
        for job in self._store.list_jobs(running=True):
            rows = self._store.list_job_desktops(job.guid)
            if here := sum(row.host.casefold() == host.casefold() for row in rows):
                yield f"job {job.guid} goes on without its {here} desktops there"

    def reconcile(self, host: ports.Host) -> list[Finding]:
        """Look at one host and mend what can be mended; returns what was found.

        HostUnavailable, and what the records raise; what the host refuses is left for next time.
        """
        findings = audit.compare(self._store, host)
        said = self._said.get(host.name, set())
        self._said[host.name] = {finding.what for finding in findings}
        for finding in findings:
            if finding.what not in said:
                _log_finding(finding)
        mended = [self._mend(host, finding) for finding in findings]
        if not all(mended):
            self._request_soon(host.name)
        drop_removed(self._store, host)
        return findings

    def _mend(self, host: ports.Host, finding: Finding) -> bool:
        try:
            return self._repairs.mend(host, finding)
        except errors.HostUnavailable:
            raise
        except errors.RdmsError as error:
            _log.warning("cannot mend yet", desktop=finding.desktop, error=str(error))
            return True

    def _request_soon(self, host: str) -> None:
        """Have it looked at when what is changing there has changed."""
        timer = threading.Timer(_SETTLING, self.request, [host])
        timer.daemon = True
        timer.start()

    def _run(self, host: str) -> None:
        while not self._closed.is_set():
            try:
                with self._turns:
                    self.reconcile(self._hosts.get(host))
                self._health.note_success(host)
            except errors.HostUnavailable as error:
                self._health.note_failure(host, error)  # it is looked at when it is back
            except errors.RdmsError as error:
                _log.warning("cannot compare host and records", host=host, error=str(error))
            except Exception:  # noqa: BLE001  a defect may not end the looking
                _log.exception("comparing host and records failed", host=host)
            with self._lock:
                if not self._asked[host]:
                    del self._asked[host]
                    return
                self._asked[host] = False

    def _hear_of_host(self, host: str, absence: Absence | None) -> None:
        if absence is None and self._acts:
            self.request(host)

    def _hear_of_vm(self, event: VmEvent) -> None:
        """Only gathers names: events of a thousand VMs that start are looked at together."""
        if not self._acts or event.kind not in (VmEventKind.STARTED, VmEventKind.STOPPED):
            return
        with self._lock:
            first = event.host not in self._heard
            self._heard.setdefault(event.host, {})[event.vm] = event.kind
        if first:
            timer = threading.Timer(_SETTLING, self._look_at_heard, [event.host])
            timer.daemon = True
            timer.start()

    def _look_at_heard(self, host: str) -> None:
        """Whether a VM that stopped or started is one that we know, and is still there."""
        with self._lock:
            heard = self._heard.pop(host)
        try:
            if not self._closed.is_set() and self._fits_not(self._hosts.get(host), heard):
                self.request(host)
        except errors.HostUnavailable as error:
            self._health.note_failure(host, error)
        except errors.RdmsError as error:
            _log.warning("cannot look at what was heard", host=host, error=str(error))

    def _fits_not(self, host: ports.Host, heard: Mapping[str, VmEventKind]) -> bool:
        """A VM of ours that nobody knows, or one of which nobody knows why it stopped."""
        unknown = self._store.list_unexplained(heard)
        for name, kind in heard.items():
            if name.casefold() in unknown:
                vm = host.find_vm(name)
                if vm and vm.ownership and not vm.ownership.adopted:
                    return True
            elif kind is VmEventKind.STOPPED:
                use = self._store.find_use(name)
                idle = use is not None and use.use not in (Use.WORK, Use.PREPARING)
                if idle and host.find_vm(name) is None:
                    return True
        return False


def _settle(use: DesktopUse, running: set[str]) -> DesktopUse | None:
    """As what is left behind is to be; None when it may stay so."""
    claim = use.claim if use.claim in running else ""
    state = use.use
    if use.use is Use.PREPARING:
        unfinished = use.reason.startswith(f"{ReasonCode.UNFINISHED_VM}:")
        state = Use.QUARANTINED if unfinished else Use.UNREADY
    elif use.use is Use.WORK and not claim:
        state = Use.UNREADY
    return None if (state, claim) == (use.use, use.claim) else replace(use, use=state, claim=claim)


def _log_finding(finding: Finding) -> None:
    _log.warning(
        "host and records do not agree",
        host=finding.host,
        kind=finding.kind,
        name=finding.name,
        code=finding.code,
        reason=finding.words,
        remedy=finding.remedy,
    )
