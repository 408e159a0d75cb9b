"""Users of simulated desktops, in a process of their own.

They know what the simulator shows and nothing of the service's records: who is in a desktop that
they come to, and how often its disk had been made.
"""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from pathlib import Path
from queue import SimpleQueue

from openrdms.adapters import simulator

Arrival = tuple[str, str, str]
"""Host, VM and user."""

_AT_ONCE = 8


@dataclass
class Findings:
    """``disks`` has (VM, how often its disk was made) of every one that somebody came to."""

    came: int = 0
    disks: set[tuple[str, int]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


class People:
    """Log on where they are sent, and off after ``stay`` seconds."""

    def __init__(self, path: Path, stay: float) -> None:
        context = multiprocessing.get_context("spawn")
        self._arrivals: Queue[Arrival | None] = context.Queue()
        self._findings: Queue[Findings] = context.Queue()
        self._process = context.Process(
            target=_live, args=(path, stay, self._arrivals, self._findings), daemon=True
        )
        self._process.start()

    def send(self, host: str, vm: str, user: str) -> None:
        """The user has been given that desktop."""
        self._arrivals.put((host, vm, user))

    def end(self) -> Findings:
        """Let all of them go home; returns what they saw."""
        self._arrivals.put(None)
        found = self._findings.get()
        self._process.join()
        return found


def _live(
    path: Path, stay: float, arrivals: Queue[Arrival | None], findings: Queue[Findings]
) -> None:
    crowd = _Crowd(path, stay)
    while (arrival := arrivals.get()) is not None:
        crowd.coming.submit(crowd.come, *arrival)
    crowd.wait_until_gone()
    findings.put(crowd.found)


class _Crowd:
    def __init__(self, path: Path, stay: float) -> None:
        self.found = Findings()
        self.coming = ThreadPoolExecutor(_AT_ONCE)
        self._path = path
        self._stay = stay
        self._lock = threading.Lock()
        self._leaving: SimpleQueue[tuple[float, Arrival] | None] = SimpleQueue()
        self._leavers = [threading.Thread(target=self._see_off) for _ in range(_AT_ONCE)]
        for leaver in self._leavers:
            leaver.start()

    def wait_until_gone(self) -> None:
        self.coming.shutdown()
        for _ in self._leavers:
            self._leaving.put(None)
        for leaver in self._leavers:
            leaver.join()

    def come(self, host: str, vm: str, user: str) -> None:
        with self._noted(f"{user} came to {vm}") as wrong:
            others, made = _look(self._path, host, vm)
            simulator.log_on(self._path, host, vm, user)
            self._leaving.put((time.monotonic() + self._stay, (host, vm, user)))
            with self._lock:
                self.found.came += 1
                wrong += [f"met {others}"] if others else []
                wrong += ["used before"] if (vm, made) in self.found.disks else []
                self.found.disks.add((vm, made))

    def _see_off(self) -> None:
        while (item := self._leaving.get()) is not None:
            at, arrival = item
            time.sleep(max(0.0, at - time.monotonic()))
            self._go(*arrival)

    def _go(self, host: str, vm: str, user: str) -> None:
        with self._noted(f"{user} leaves {vm}") as wrong:
            others, _ = _look(self._path, host, vm)
            wrong += [f"meets {others}"] if others != [user] else []
            simulator.log_off(self._path, host, vm, user)

    @contextmanager
    def _noted(self, what: str) -> Iterator[list[str]]:
        wrong: list[str] = []
        try:
            yield wrong
        except Exception as error:  # noqa: BLE001  whatever it is, it is a finding
            wrong.append(repr(error))
        with self._lock:
            self.found.wrong += [f"{what}: {words}" for words in wrong]


def _look(path: Path, host: str, vm: str) -> tuple[list[str], int]:
    """Who is on, and how often its disk was made."""
    uri = f"{(path / 'state.sqlite').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as truth:
        users = truth.execute(
            "SELECT user FROM sessions WHERE host = ? AND vm = ? ORDER BY guest_id", (host, vm)
        ).fetchall()
        (made,) = truth.execute(
            "SELECT count FROM attempts WHERE host = ? AND vm = ? AND kind = 'clone'", (host, vm)
        ).fetchone()
    return [user for (user,) in users], made
