"""Users of a scenario: they come, ask for a desktop, log on, stay, log off."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from openrdms.adapters.simulator import SimulatorHost
from openrdms.model.errors import (
    GuestUnreachable,
    HostUnavailable,
    NotFound,
    RdmsError,
    SessionError,
)
from openrdms.model.reason import Wait
from openrdms.services.brokering import Connection, Refused
from openrdms.twin.agenda import Agenda
from openrdms.twin.report import Report, Waited
from openrdms.twin.scenario import LogonStorm
from openrdms.twin.world import World

_MOST_AT_ONCE = 1200
"""Who waits in line waits in a thread."""

_TRY_AGAIN = 5.0
"""Seconds until somebody tries again to log on or off where that cannot be done now."""

_GUEST_SECONDS = 5.0


class People:
    """Draws of a storm hang on the scenario's seed and nothing else."""

    def __init__(self, world: World, agenda: Agenda, report: Report) -> None:
        self._world = world
        self._agenda = agenda
        self._report = report
        self._draw = random.Random(world.scenario.seed)  # noqa: S311  no secret
        self._threads = ThreadPoolExecutor(_MOST_AT_ONCE, "people")
        self._lock = threading.Lock()
        self._count = 0

    def close(self) -> None:
        """Nobody comes any more; who waits is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def storm(self, storm: LogonStorm) -> None:
        """All of its users come within its time."""
        for _ in range(storm.users):
            self._count += 1
            due = storm.at + self._draw.uniform(0, storm.over)
            stay = self._draw.uniform(*storm.stay)
            come = partial(self._come, f"user{self._count}", storm, due, stay)
            self._agenda.at(due, partial(self._submit, come))

    def _submit(self, act: partial[None]) -> None:
        try:
            self._threads.submit(act)
        except RuntimeError:
            return  # closed

    def _come(self, name: str, storm: LogonStorm, due: float, stay: float) -> None:
        world = self._world
        try:
            user = world.user(name)
            wait = storm.patience / world.speed
            answer = world.brokering.connect(user, storm.collection, wait)
        except Refused as refusal:
            self._fail(refusal.reason)
        except RdmsError as error:
            self._fail(type(error).__name__)
        else:
            self._enter(answer, name, due, stay)
        finally:
            with self._lock:
                self._report.came += 1

    def _enter(self, answer: Connection | Wait, name: str, due: float, stay: float) -> None:
        if isinstance(answer, Wait):
            self._fail(f"gave up: {answer.code}")
            return
        waited = Waited(due, self._world.seconds - due)
        with self._lock:
            self._report.waits.append(waited)
        self._log_on(answer, name, stay)

    def _log_on(self, given: Connection, name: str, stay: float) -> None:
        try:
            self._host(given.host).guest(given.desktop).log_on(name)
        except (HostUnavailable, SessionError, NotFound) as error:
            self._fail(f"log on: {type(error).__name__}")
            return
        leave = partial(self._log_off, given, name)
        self._agenda.at(self._world.seconds + stay, partial(self._submit, leave))

    def _log_off(self, given: Connection, name: str) -> None:
        guest = self._host(given.host).guest(given.desktop)
        try:
            for session in guest.list_sessions(_GUEST_SECONDS):
                if session.user == name:
                    guest.log_off(session, _GUEST_SECONDS)
        except (HostUnavailable, GuestUnreachable):
            again = partial(self._log_off, given, name)
            self._agenda.at(self._world.seconds + _TRY_AGAIN, partial(self._submit, again))
            return
        except (SessionError, NotFound) as error:
            self._fail(f"log off: {type(error).__name__}")
        with self._lock:
            self._report.left += 1

    def _host(self, name: str) -> SimulatorHost:
        host = self._world.hosts.get(name)
        assert isinstance(host, SimulatorHost)  # noqa: S101  the scenario has no others
        return host

    def _fail(self, why: str) -> None:
        with self._lock:
            self._report.failures[why] += 1
