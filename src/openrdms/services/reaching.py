"""Bringing a desktop that somebody has to where he can connect to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from openrdms import ports
from openrdms.jobs.tokens import Kind, Tokens
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse
from openrdms.model.host import VmEvent, VmEventKind, VmInfo, VmState
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts

_STARTS_AT_ONCE = 32

_PING_SECONDS = 1.0
"""What a guest gets to show that it is up, while somebody waits for the answer."""

_BOOT = "boot"
"""As jobs measure it (provisioning.step_times): from a start until the guest's agent answers."""

_RESUME = "resume"
"""A start of what is saved or paused, as it is measured here."""

_IDENTITY = "identity"
"""A first start ends with it; how long it takes is not measured."""

_log = structlog.get_logger(__name__)


class StepTimes(Protocol):
    """How long calls on hosts take lately, in seconds (provisioning.step_times)."""

    def measure(self, host: str, kind: str, seconds: float) -> None: ...
    def estimate(self, host: str, kind: str) -> float | None: ...


@dataclass(frozen=True)
class _Way:
    """Of a desktop to its user: since when, in monotonic seconds too, and how long that usually
    takes; None when it never was measured.
    """

    since: datetime
    begun: float
    usual: float | None

    def wait(self, code: ReasonCode, words: str) -> Wait:
        """What he is told who asks now."""
        gone = time.monotonic() - self.begun
        left = None if self.usual is None else max(0.0, self.usual - gone)
        return Wait(code, words, self.since, seconds=left)


class Reaching:
    """Starts what is off, and says what is still waited for. Safe from any thread.

    Nothing here waits for a host to start a VM or for a guest to boot: whoever is told to wait
    asks again, ``heard`` says when that may be worth while.
    """

    def __init__(
        self,
        hosts: Hosts,
        health: HostHealth,
        tokens: Tokens,
        clock: ports.Clock,
        heard: Callable[[DesktopUse], None],
        identify: Callable[[str], None],
        times: StepTimes | None = None,
    ) -> None:
        """``heard`` is told of a desktop that was waited for; it must be quick. ``identify`` gives
        one that was left off its identity (FirstStart).
        """
        self._hosts = hosts
        self._health = health
        self._tokens = tokens
        self._clock = clock
        self._heard = heard
        self._identify = identify
        self._times = times
        self._lock = threading.Lock()
        self._starts: dict[str, Future[None]] = {}
        self._awaited: dict[str, DesktopUse] = {}
        self._booting: set[str] = set()
        self._ways: dict[str, _Way] = {}
        self._starters = ThreadPoolExecutor(_STARTS_AT_ONCE, thread_name_prefix="reach")
        hosts.subscribe(self._hear)

    def away(self) -> list[str]:
        """Names of the hosts that do not answer, short ones too: records may have either."""
        away = [host for host in self._hosts.all() if self._health.is_away(host.name)]
        return [
            name
            for host in away
            for name in sorted({host.name, host.name.partition(".")[0]})
            if self._hosts.find(name) is host
        ]

    def reach(self, use: DesktopUse) -> Wait | None:
        """None when the desktop runs as itself and its guest is up; else it is started if need be.

        OperationFailed and other errors of its host, for what it refused.
        """
        try:
            absence = self._health.status(use.host)
            if absence:
                return Wait(ReasonCode.HOST_AWAY, absence.words, absence.since)
            with self._lock:
                self._awaited[use.name.casefold()] = use
            wait = self._find_start(use) or self._look(self._hosts.get(use.host), use)
        except (errors.NotFound, errors.HostUnavailable) as error:
            if isinstance(error, errors.HostUnavailable):
                self._health.note_failure(use.host, error)
            return Wait(ReasonCode.HOST_AWAY, str(error), self._clock())
        if wait is None:
            with self._lock:
                self._awaited.pop(use.name.casefold(), None)
                self._ways.pop(use.name.casefold(), None)
        return wait

    def _look(self, host: ports.Host, use: DesktopUse) -> Wait | None:
        vm = host.find_vm(use.name)
        if vm is None or vm.uuid != use.uuid:
            words = f"{use.name} is not on {use.host}"
            return Wait(ReasonCode.VM_LOST, words, self._clock())
        if vm.state is not VmState.RUNNING:
            return self._start(host, vm)
        key = use.name.casefold()
        if use.seen and key not in self._booting and not use.left_off:
            return None  # its guest let him in before, whatever its agent does now
        try:
            host.guest(use.name).ping(_PING_SECONDS)
        except (errors.GuestUnreachable, errors.VmNotRunning) as error:
            with self._lock:
                way = self._ways.setdefault(key, self._set_out(host.name, _BOOT))
            return way.wait(ReasonCode.GUEST_BOOTING, str(error))
        self._booting.discard(key)
        if use.left_off:  # its name and what it lets users in with by RDP come first
            return self._begin(use.name, self._set_out(host.name, _IDENTITY), self._identify)
        return None

    def _start(self, host: ports.Host, vm: VmInfo) -> Wait:
        self._booting.add(vm.name.casefold())
        kind = Kind.START if vm.state is VmState.STOPPED else _RESUME
        boot = (_BOOT,) if kind is Kind.START else ()
        way = self._set_out(host.name, kind, *boot)
        return self._begin(vm.name, way, lambda name: self._run(host, name, kind))

    def _begin(self, name: str, way: _Way, step: Callable[[str], None]) -> Wait:
        """Have a step taken with that desktop, unless one is under way."""
        key = name.casefold()
        with self._lock:
            if key in self._starts:
                return _starting(name, self._ways.setdefault(key, way))
            self._ways[key] = way
            future = self._starts[key] = self._starters.submit(step, name)
        # Without the lock: of a step that is done already it is told at once, in this thread.
        future.add_done_callback(lambda _: self._tell(key))
        return _starting(name, way)

    def _run(self, host: ports.Host, name: str, kind: str) -> None:
        _log.info("starting for its user", desktop=name, resumed=kind == _RESUME)

        def start() -> None:
            begun = time.monotonic()
            host.start(name)
            if self._times:
                self._times.measure(host.name, kind, time.monotonic() - begun)

        self._tokens.run(host.name, Kind.START, start, urgent=True)

    def _set_out(self, host: str, *kinds: str) -> _Way:
        """From now on, when these steps are still to be done."""
        each = [self._times.estimate(host, kind) if self._times else None for kind in kinds]
        known = [seconds for seconds in each if seconds is not None]
        usual = sum(known) if len(known) == len(kinds) else None
        return _Way(self._clock(), time.monotonic(), usual)

    def _find_start(self, use: DesktopUse) -> Wait | None:
        """None when no step is under way, or one has just been taken. Raises what that came to."""
        key = use.name.casefold()
        with self._lock:
            future = self._starts.get(key)
            if future is None:
                return None
            if not future.done():
                way = self._ways.setdefault(key, self._set_out(use.host, Kind.START))
                return _starting(use.name, way)
            del self._starts[key]
        future.result()
        return None

    def _hear(self, event: VmEvent) -> None:
        if event.kind is VmEventKind.AGENT_CONNECTED:
            self._tell(event.vm.casefold())
        elif event.kind is VmEventKind.STOPPED:
            self._booting.discard(event.vm.casefold())

    def _tell(self, key: str) -> None:
        with self._lock:
            use = self._awaited.get(key)
        if use:
            self._heard(use)


def _starting(name: str, way: _Way) -> Wait:
    return way.wait(ReasonCode.DESKTOP_STARTING, f"{name} is being started")
