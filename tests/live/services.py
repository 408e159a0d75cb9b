"""Several services on one PostgreSQL and one simulator, behind a balancer of TCP connections."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from live.network import Place
from live.postgresql import PostgreSql
from live.service import Service, rdms
from openrdms.app.running import FENCED

_SIMULATOR = "sim"


class Member(Service):
    """One of them, in a state directory of its own, perhaps in a ``place`` of its own."""

    may_fork = False

    def __init__(
        self,
        state_dir: Path,
        hypervisors: Sequence[str],
        options: Sequence[str],
        place: Place | None = None,
    ) -> None:
        listen = ("--listen", place.address) if place else ()
        launcher = place.enter if place else ()
        super().__init__(state_dir, *hypervisors, options=[*options, *listen], launcher=launcher)
        self.place = place

    def signal(self, number: signal.Signals) -> None:
        """Pause it or let it go on."""
        assert self._process
        self._process.send_signal(number)

    def wait_until_fenced(self, seconds: float = 60) -> None:
        """Until it has ended by itself, as the others have taken it for dead."""
        assert self._process
        assert self._process.wait(seconds) == FENCED, self.read_log()
        self._clients.close()

    @property
    def is_running(self) -> bool:
        return self._process is not None and not self._has_ended()


class Services:
    """``count`` of them, each to be started, killed and paused as a test likes; with ``places``,
    which PostgreSQL is reached from, one in each, to be cut off.
    """

    def __init__(
        self,
        directory: Path,
        postgresql: PostgreSql,
        hypervisors: Sequence[str],
        count: int = 3,
        places: Sequence[Place] = (),
    ) -> None:
        self.postgresql = postgresql
        self.database = postgresql.create_records()
        self.simulator = directory / _SIMULATOR
        directory.mkdir(parents=True, exist_ok=True)
        self._records: psycopg.Connection | None = None
        self._reading = threading.Lock()
        # A process dies with the thread that has started it.
        self._starters = ThreadPoolExecutor(count)
        key = directory / "key"
        rdms("database", "key", key)
        options = (
            *("--database", postgresql.url(self.database, password=False)),
            *("--database-password-file", str(postgresql.password_file)),
            *("--shared-key", str(key)),
        )
        self.members = [
            Member(directory / f"service{number}", hypervisors, options, place)
            for number, place in enumerate(places or [None] * count, 1)
        ]

    def start(self) -> None:
        """All at once."""
        for started in [self._starters.submit(member.start) for member in self.members]:
            started.result()

    def start_again(self, member: Member) -> None:
        """One that has ended, from any thread."""
        self._starters.submit(member.start).result()

    def owner(self, job: str) -> Member | None:
        """Who runs it, if it is one that lives."""
        found = self.read("SELECT service FROM jobs WHERE guid = %s", job)
        running = (one for one in self.members if one.is_running)
        return next((one for one in running if (one.ready["service"],) in found), None)

    def clear(self) -> None:
        """Leave no process behind."""
        for member in self.members:
            if member.is_running:
                member.signal(signal.SIGCONT)
            member.clear()
        self._starters.shutdown()
        if self._records:
            self._records.close()

    def find_orphans(self) -> list[dict[str, str]]:
        """What `rdms audit orphans` says."""
        return next(one for one in self.members if one.is_running).find_orphans()

    def read(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the records, read beside the services."""
        with self._reading:
            if self._records is None or self._records.closed:
                self._records = self.postgresql.connect(self.database)
            return self._records.execute(query.encode(), values).fetchall()


class Balancer:
    """Gives each new connection to the next service that takes it, like any of level 4."""

    def __init__(self, targets: Sequence[tuple[str, int]]) -> None:
        self.targets = list(targets)
        """Host and port; may change with a service that was started again."""
        self._next = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), self._connect() as server:
            for one in (client, server):  # else each reply in two parts is held back for 40 ms
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=_carry, args=(server, client), daemon=True)
            back.start()
            _carry(client, server)
            back.join()

    def _connect(self) -> socket.socket:
        for _ in self.targets:
            self._next += 1
            with suppress(OSError):
                server = socket.create_connection(self.targets[self._next % len(self.targets)], 2)
                server.settimeout(None)
                return server
        raise ConnectionError("no service takes a connection")

    def close(self) -> None:
        self._listener.close()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def simulated(directory: Path, parameters: str) -> list[str]:
    """Hosts of the simulator that services in ``directory`` share, as they are named to them."""
    return [f"simulator://{directory / _SIMULATOR}?{parameters}"]


@contextmanager
def services(
    directory: Path,
    postgresql: PostgreSql,
    parameters: str,
    count: int = 3,
    places: Sequence[Place] = (),
) -> Iterator[Services]:
    """All started, with hosts of the simulator, and none left."""
    made = Services(directory, postgresql, simulated(directory, parameters), count, places)
    try:
        made.start()
        yield made
    finally:
        made.clear()
