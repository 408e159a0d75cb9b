"""Several services on one PostgreSQL: who is dead is fenced, who lives never, and nothing of a
fenced one is written.
"""

from __future__ import annotations

import gc
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

import live.member_process
from live.postgresql import PostgreSql
from live.service import until
from openrdms import ports
from openrdms.adapters import sql
from openrdms.adapters.sql import members as sql_members
from openrdms.adapters.sql.dialects import application_name
from openrdms.model import errors

pytestmark = pytest.mark.filterwarnings(
    # of connections that the server has ended while they were in use
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


class Watcher:
    """A member in this process that beats, and looks at the others when it is asked to."""

    def __init__(self, url: str) -> None:
        self.store, self.members = sql.open_shared_store(
            url, secrets.token_hex(8), lambda why: None
        )
        self.members.join("here.example", "", "1")
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()

    def _beat(self) -> None:
        with suppress(errors.Fenced):
            while not self._closed.wait(0.2):
                with suppress(errors.RecordsUnavailable):
                    self.members.beat()

    def look(self) -> list[str]:
        try:
            return self.members.fence_silent()
        except errors.RecordsUnavailable:
            return []

    def wait_until_steady(self) -> None:
        """Until it may judge."""
        until("it has beaten for long", lambda: self.members._may_judge)  # type: ignore[attr-defined]

    def written(self) -> str:
        found = self.store.find_setting("written")
        return str(found) if found else ""

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self.members.close()
        self.store.close()
        gc.collect()  # its warnings belong to this test


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits so long for what takes 10 s by design."""
    monkeypatch.setattr(sql_members, "SILENT_SECONDS", 4.0)


@pytest.fixture
def watcher(postgresql_records: str) -> Iterator[Watcher]:
    watcher = Watcher(postgresql_records)
    yield watcher
    watcher.close()


@contextmanager
def other(url: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The id of a member, and its process."""
    me = secrets.token_hex(8)
    command = [sys.executable, live.member_process.__file__, url, me]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "joined\n"
            yield me, process
        finally:
            process.kill()


def has_died(url: str, member: str) -> bool:
    """Whether it is on record that its process has ended."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT died FROM members WHERE id = %s", (member,)).fetchone()
    assert row
    return bool(row[0])


def test_who_is_killed_is_fenced_soon(postgresql_records: str, watcher: Watcher) -> None:
    with other(postgresql_records) as (me, process):
        watcher.wait_until_steady()
        assert me in [member.id for member in watcher.members.list_live()]
        until("it was looked at alive", lambda: not watcher.look())
        process.kill()
        assert until("it is fenced", watcher.look) == [me]
    assert has_died(postgresql_records, me)
    assert watcher.members.list_untaken() == [me]
    assert me not in [member.id for member in watcher.members.list_live()]
    watcher.members.finish_taking(me)
    assert watcher.members.list_untaken() == []
    assert watcher.look() == []


def test_who_is_paused_is_fenced_and_writes_nothing_when_it_wakes(
    postgresql_records: str, watcher: Watcher
) -> None:
    with other(postgresql_records) as (me, process):
        watcher.wait_until_steady()
        until("it writes", watcher.written)
        process.send_signal(signal.SIGSTOP)  # perhaps in the middle of writing
        assert until("it is fenced", watcher.look) == [me]
        assert not has_died(postgresql_records, me)
        before = watcher.written()
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 75
        assert watcher.written() == before


def test_who_was_cut_off_is_fenced_and_writes_nothing_when_it_is_back(
    postgresql: PostgreSql, postgresql_records: str, watcher: Watcher
) -> None:
    wire = Wire(("127.0.0.1", postgresql.port))
    url = postgresql_records.replace(f":{postgresql.port}/", f":{wire.port}/")
    with other(url) as (me, process):
        watcher.wait_until_steady()
        until("it writes", watcher.written)
        wire.cut()
        assert until("it is fenced", watcher.look) == [me]
        before = watcher.written()
        wire.mend()
        assert process.wait(60) == 75
        assert watcher.written() == before
    wire.close()


class Wire:
    """Between a member and the server: cut, it carries nothing and tells nobody."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._whole = threading.Event()
        self._whole.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(self._target)
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with source, suppress(OSError):
            while data := source.recv(65536):
                self._whole.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


def test_a_restart_of_the_server_fences_nobody(
    postgresql: PostgreSql, postgresql_records: str, watcher: Watcher
) -> None:
    with other(postgresql_records) as (me, process):
        watcher.wait_until_steady()
        postgresql.stop()
        time.sleep(3)  # older than what a dead one's beats are
        postgresql.start()
        until("it beats again", lambda: _beats_of(watcher, me))
        deadline = time.monotonic() + sql_members.SILENT_SECONDS + 3
        while time.monotonic() < deadline:
            assert watcher.look() == []
            time.sleep(0.1)
        watcher.wait_until_steady()
        assert watcher.look() == []
        assert process.poll() is None
        assert len(watcher.members.list_live()) == 2


def _beats_of(watcher: Watcher, me: str) -> bool:
    """Whether it beats now."""

    def beat() -> object:
        with suppress(errors.RecordsUnavailable):
            return next(one.beat for one in watcher.members.list_live() if one.id == me)

    first = beat()
    return (
        first is not None and until("another beat", lambda: beat() or first) and _moved(beat, first)
    )


def _moved(beat: Callable[[], object], first: object) -> bool:
    until("its beat moves", lambda: beat() not in (None, first))
    return True


def test_one_at_a_time_is_in_an_exclusive_block(postgresql_records: str, watcher: Watcher) -> None:
    second = Watcher(postgresql_records)
    try:
        with watcher.members.exclusive("this") as first:
            assert first
            with second.members.exclusive("this") as also, second.members.exclusive("that") as that:
                assert (also, that) == (False, True)
        with second.members.exclusive("this") as alone:
            assert alone
    finally:
        second.close()


def test_who_is_in_an_exclusive_block_is_so_again_after_his_connection_was_lost(
    postgresql_records: str, watcher: Watcher
) -> None:
    second = Watcher(postgresql_records)
    try:
        with watcher.members.exclusive("this"):
            locking = watcher.members._locking  # type: ignore[attr-defined]
            before = locking._connection
            _cut(second, watcher.members.me)
            until("it was heard of", lambda: watcher.look() or locking._connection is not before)
            until("it has its locks", lambda: watcher.look() or _has_locks(locking))
            with second.members.exclusive("this") as also:
                assert not also
        with second.members.exclusive("this") as alone:
            assert alone
    finally:
        second.close()


def _cut(watcher: Watcher, member: str) -> None:
    """End all connections of another one."""
    database = watcher.members._database  # type: ignore[attr-defined]
    with database.connect() as connection:
        connection.execute(sql_members._DISCONNECT, (application_name(member),))


def _has_locks(session: sql_members._Session) -> bool:
    return session._connection is not None and not session._lost


def test_a_duty_is_one_members_until_it_is_fenced(
    postgresql_records: str, watcher: Watcher
) -> None:
    with other(postgresql_records) as (me, process):
        database = watcher.members._database  # type: ignore[attr-defined]
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO duties VALUES ('pools', %s)", (me,))
        assert not watcher.members.hold_duty("pools")
        watcher.wait_until_steady()
        process.send_signal(signal.SIGSTOP)
        until("it is fenced", watcher.look)
        assert watcher.members.hold_duty("pools")
        assert watcher.members.hold_duty("pools")


def test_who_is_fenced_may_do_nothing(postgresql_records: str, watcher: Watcher) -> None:
    watcher.members.check()
    _fence(watcher)
    for act in (watcher.members.check, watcher.members.beat, lambda: _write(watcher.store)):
        with pytest.raises(errors.Fenced):
            act()
    assert watcher.written() == ""


def _write(store: ports.Store) -> None:
    store.change_setting("written", "something")


def _fence(watcher: Watcher) -> None:
    database = watcher.members._database  # type: ignore[attr-defined]
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE members SET fenced = true")
