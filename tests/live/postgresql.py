"""A real PostgreSQL of the tests' own: its files and port, nothing of the machine's clusters."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql as text

from live.free_ports import free_port
from live.service import until
from openrdms.adapters import sql
from openrdms.adapters.sql import dialects

USER, PASSWORD = "rdms", "the password of the records"

_SYSTEM_USER = "postgres"
"""Debian's; the server refuses to run as root."""

_LOOPBACK = "127.0.0.1"

_SETTINGS = {
    "max_connections": "300",
    "shared_buffers": "32MB",
    "log_min_messages": "warning",
}

_EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid();
SET session_replication_role = replica;
DO $$
DECLARE one record;
BEGIN
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
      AND tablename NOT IN ('alembic_version', 'schema_needs') LOOP
    EXECUTE format('DELETE FROM public.%I', one.tablename);
  END LOOP;
  FOR one IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER SEQUENCE public.%I RESTART', one.sequencename);
  END LOOP;
  DROP SCHEMA IF EXISTS dbos CASCADE;
END $$
"""
"""Without a look at foreign keys."""


class PostgreSql:
    """Started and stopped as a test likes; what it knows outlives that.

    Not ``durable``: it does not wait for the disk, which is quicker, and enough for whoever does
    not turn the machine off. On 127.0.0.1, and on another ``address`` of this machine, whose
    network may come in too.
    """

    def __init__(self, *, durable: bool = False, address: str = _LOOPBACK) -> None:
        self._programs = max(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name)
        )
        self.directory = Path(tempfile.mkdtemp(prefix="openrdms-pg-"))
        """Not pytest's: another user than root must reach it, and sockets have short paths."""
        self._as_user: tuple[str, ...] = ()
        if os.geteuid() == 0:
            shutil.chown(self.directory, _SYSTEM_USER, _SYSTEM_USER)
            self._as_user = ("--reuid", _SYSTEM_USER, "--regid", _SYSTEM_USER, "--clear-groups")
        self.port = 0
        self._address = address
        self._settings = {
            **_SETTINGS,
            **({} if durable else {"fsync": "off"}),
            "listen_addresses": ",".join({_LOOPBACK, address}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        self._template = ""
        self._preparing = threading.Lock()
        self._initialise()

    @property
    def pid(self) -> int:
        """Of its first process."""
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Return when it answers, on the port that it had before."""
        self.port = self.port or free_port()
        settings = {**self._settings, "unix_socket_directories": str(self.directory)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._launch("postgres"), "-D", self._data, "-p", str(self.port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        until("PostgreSQL answers", self._answers)

    def stop(self) -> None:
        """End it as an administrator in a hurry does: what is under way is undone."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """End it without a goodbye: the next start recovers from its log."""
        self._end(signal.SIGQUIT)

    def clear(self) -> None:
        """Leave nothing behind."""
        if self._process:
            self.crash()
        shutil.rmtree(self.directory)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """As the owner of everything; each statement is a transaction of its own."""
        address = f"host={_LOOPBACK} port={self.port} user={USER}"
        return psycopg.connect(
            f"{address} dbname={database}", password=PASSWORD, autocommit=True, connect_timeout=10
        )

    def create_database(self) -> str:
        """The name of a new one, empty."""
        return self._create("template0")

    def create_records(self) -> str:
        """The name of a new one with the tables of our records, and nothing in them."""
        with self._preparing:
            if not self._template:
                template = self.create_database()
                sql.open_store(self.url(template)).close()
                self._template = template
        return self._create(self._template)

    def drop(self, database: str) -> None:
        """Whoever is connected to it is cut off."""
        with self.connect() as server:
            statement = text.SQL("DROP DATABASE {} WITH (FORCE)")
            server.execute(statement.format(text.Identifier(database)))

    def empty(self, database: str) -> None:
        """Of records, whoever is connected: a new one costs ten times as much."""
        with self.connect(database) as records:
            records.execute(_EMPTY)

    def url(self, database: str, *, password: bool = True) -> str:
        """To open records with; without ``password`` as on a command line."""
        secret = ":" + PASSWORD.replace(" ", "%20") if password else ""
        return f"postgresql://{USER}{secret}@{self._address}:{self.port}/{database}"

    @property
    def password_file(self) -> Path:
        """The password in its first line, for this process' user alone."""
        file = self.directory / "password"
        if not file.exists():
            file.touch(0o600)
            file.write_text(PASSWORD + "\n")
        return file

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _initialise(self) -> None:
        passwords = self.directory / "initial"
        passwords.write_text(PASSWORD + "\n")
        options = ["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256"]
        subprocess.run(
            [
                *self._launch("initdb"),
                *(*options, f"--username={USER}", f"--pwfile={passwords}", "-D", self._data),
            ],
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        passwords.unlink()
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")

    def _launch(self, program: str) -> list[str]:
        """It dies with this process."""
        return ["setpriv", *self._as_user, "--pdeathsig", "QUIT", str(self._programs / program)]

    def _create(self, template: str) -> str:
        name = f"{re.sub('[^a-z0-9]', '', template)[:8]}_{next(self._numbers)}"
        with self.connect() as server:
            statement = text.SQL("CREATE DATABASE {} TEMPLATE {}")
            server.execute(statement.format(text.Identifier(name), text.Identifier(template)))
        return name

    def _end(self, how: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(how)
        self._process.wait(60)
        self._process = None

    def _answers(self) -> bool:
        assert self._process
        log = self.directory / "log"
        assert self._process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def running_server() -> Iterator[PostgreSql]:
    """One that the block may stop and start again; nothing is left of it."""
    server = PostgreSql()
    try:
        server.start()
        yield server
    finally:
        server.clear()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """One server for all tests of a process, which they leave running. It does not end who is busy
    with something else for some seconds: that is the machine.
    """
    patient = dialects.CONNECT_OPTIONS["options"].replace(
        "session_timeout=5s", "session_timeout=60s"
    )
    with running_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setitem(dialects.CONNECT_OPTIONS, "options", patient)
        yield server


@pytest.fixture(scope="session")
def _reused_records(postgresql: PostgreSql) -> str:
    return postgresql.create_records()


@pytest.fixture
def postgresql_records(postgresql: PostgreSql, _reused_records: str) -> Iterator[str]:
    """The URL of a database with the tables of our records, and nothing in them."""
    yield postgresql.url(_reused_records)
    postgresql.empty(_reused_records)
