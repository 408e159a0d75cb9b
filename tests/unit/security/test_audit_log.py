"""The audit log over real records: group commit, and what tampering cannot hide."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fakes.clock import StoppedClock
from fakes.leaving_records import LeavingRecords
from openrdms.cim.provider import MethodResult
from openrdms.model import errors
from openrdms.model.audit import AuditHead, AuditQuery, AuditRecord, chain
from openrdms.ports import Store
from openrdms.security.audit_log import MOST_STRANGERS, AuditLog
from openrdms.security.audited_change import AuditedChange

OpenLog = Callable[[], AuditLog]


@pytest.fixture
def open_log(store: Store, tmp_path: Path) -> OpenLog:
    return lambda: AuditLog(store, tmp_path / "security" / "audit-head", StoppedClock())


@pytest.fixture
def log(open_log: OpenLog) -> AuditLog:
    return open_log()


@pytest.fixture
def head_file(tmp_path: Path) -> Path:
    return tmp_path / "security" / "audit-head"


@pytest.fixture
def tamper(tmp_path: Path) -> Callable[[str], None]:
    def execute(statement: str) -> None:
        with closing(sqlite3.connect(tmp_path / "records.sqlite")) as database, database:
            database.execute(statement)

    return execute


def fill(log: AuditLog, count: int = 5) -> None:
    for number in range(count):
        log.record("alice", "192.0.2.1", f"call {number}", result="0")


def test_a_new_log_is_whole(log: AuditLog, head_file: Path) -> None:
    assert log.verify().problems == ()
    for file in (head_file, head_file.with_name("audit-key")):
        assert file.stat().st_mode & 0o777 == 0o600
    assert head_file.parent.stat().st_mode & 0o777 == 0o700


def test_records_follow_each_other_over_restarts(log: AuditLog, open_log: OpenLog) -> None:
    fill(log, 2)
    again = open_log()
    assert again.record("bob", "", "call", {"Alias": "a"}, {"Key": "k"}, result="0") == 3
    found = again.verify()
    assert (found.count, found.problems) == (3, ())
    asked = again.list_calls(AuditQuery())[-1].asked
    assert (asked.on, asked.parameters, asked.hash) == ({"Alias": "a"}, {"Key": "k"}, found.hash)


def test_a_refused_sign_in_is_on_record(log: AuditLog) -> None:
    log.record_refusal("mallory\x1b[2J\udc80", "192.0.2.7", "NTLM", "wrong\npassword")
    asked = log.list_calls(AuditQuery())[0].asked
    assert (asked.who, asked.address, asked.what, asked.result, asked.reason) == (
        *("mallory\\x1b[2J\\udc80", "192.0.2.7", "sign in/NTLM", "denied", "wrong\\npassword"),
    )


def test_calls_that_a_service_left_open_are_closed_by_the_next(
    log: AuditLog, open_log: OpenLog
) -> None:
    asked = log.record("alice", "192.0.2.1", "call", {"Alias": "a"}, result="asked")
    again = open_log()
    (call,) = again.list_calls(AuditQuery())
    assert call.answer is not None
    assert (call.asked.sequence, call.answer.of) == (asked, asked)
    assert (call.answer.result, call.answer.reason) == ("unknown", "the service ended")
    assert call.answer.on == {"Alias": "a"}
    found = open_log().verify()
    assert (found.count, found.problems) == (2, ())


@pytest.fixture
def records(store: Store) -> Any:
    return LeavingRecords(store)


@pytest.fixture
def leaving_log(records: Any, tmp_path: Path) -> AuditLog:
    return AuditLog(records, tmp_path / "security" / "audit-head", StoppedClock())


@pytest.mark.parametrize("kick", [AuditLog.write_late, AuditLog.verify])
def test_an_end_that_could_not_be_written_is_when_records_are_back(
    leaving_log: AuditLog, records: Any, kick: Callable[[AuditLog], object]
) -> None:
    names = {"Name": "one"}
    with AuditedChange(leaving_log, "ann", "", "call", on=names, values={}) as change:
        records.away = True
        change.answered(MethodResult(5))
    with pytest.raises(errors.RecordsUnavailable):
        leaving_log.write_late()
    records.away = False
    kick(leaving_log)
    leaving_log.write_late()
    [call] = leaving_log.list_calls(AuditQuery())
    assert call.answer
    assert (call.asked.result, call.answer.result, call.answer.on) == ("asked", "5", names)
    assert call.answer.parameters == {"at": "2026-03-01T12:00:00.000+00:00"}
    found = leaving_log.verify()
    assert (found.count, found.problems) == (2, ())


def test_an_end_that_is_on_record_is_not_written_again(
    leaving_log: AuditLog, records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection was lost right after the commit."""
    append = records.append_audit

    def lose(new: Sequence[AuditRecord]) -> None:
        append(new)
        raise errors.RecordsUnavailable("lost")

    change = AuditedChange(leaving_log, "ann", "", "call", on={}, values={})
    with monkeypatch.context() as losing, change:
        losing.setattr(records, "append_audit", lose, raising=False)
    leaving_log.write_late()
    assert [one.result for one in records.list_audit()] == ["asked", "0"]


def test_many_subjects_are_counted_in_bounded_memory(log: AuditLog) -> None:
    for number in range(MOST_STRANGERS + 500):
        log.record_refusal(f"name-{number}", "192.0.2.1", "Basic", "wrong")
    assert log.verify().count == MOST_STRANGERS + 1


def test_strangers_hide_no_refusal_of_a_caller(log: AuditLog) -> None:
    for number in range(MOST_STRANGERS + 10):
        log.record_refusal(f"name-{number}", "192.0.2.1", "Basic", "wrong")
    log.deny("alice", "192.0.2.2", "root/cimv2/rdms/C/Delete")
    assert log.list_calls(AuditQuery(who="alice"))


class TestGroupCommit:
    def test_a_hundred_threads_share_commits(self, log: AuditLog) -> None:
        commits: list[object] = []
        note = commits.append
        sequences: list[int] = []
        start = threading.Barrier(100)

        def write(name: str) -> None:
            start.wait()
            sequences.extend([log.record(name, "", "call", result="0") for _ in range(10)])

        threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(100)]
        sa.event.listen(sa.Engine, "commit", note)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sa.event.remove(sa.Engine, "commit", note)
        assert sorted(sequences) == list(range(1, 1001))
        assert len(commits) < 250
        assert log.verify().problems == ()

    def test_each_thread_has_its_own_records_in_order(self, log: AuditLog) -> None:
        told: dict[str, list[int]] = {}

        def write(name: str) -> None:
            told[name] = [log.record(name, "", "call", result="0") for _ in range(20)]

        threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, sequences in told.items():
            calls = log.list_calls(AuditQuery(who=name))
            assert [call.asked.sequence for call in calls] == sequences == sorted(sequences)

    def test_all_who_waited_hear_of_a_failure_and_the_next_write_goes_on(
        self, log: AuditLog, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def fail(records: list[AuditRecord]) -> None:
            begun.set()
            assert go_on.wait(60)
            raise errors.OperationFailed("disk full")

        failures: list[str] = []

        def write() -> None:
            try:
                log.record("alice", "", "call", result="0")
            except errors.OperationFailed as error:
                failures.append(str(error))

        monkeypatch.setattr(store, "append_audit", fail)
        threads = [threading.Thread(target=write) for _ in range(5)]
        threads[0].start()
        assert begun.wait(60)
        for thread in threads[1:]:
            thread.start()
        go_on.set()
        for thread in threads:
            thread.join()
        assert len(failures) == 5
        monkeypatch.undo()
        assert log.record("alice", "", "call", result="0") == 1
        assert log.verify().problems == ()


class TestTampering:
    @pytest.mark.parametrize(
        ("statement", "problem"),
        [
            ("UPDATE audit_log SET who = 'bob' WHERE sequence = 3", "record 3 is not what"),
            ("UPDATE audit_log SET result = '5' WHERE sequence = 5", "record 5 is not what"),
            ('UPDATE audit_log SET "of" = 2 WHERE sequence = 4', "record 4 is not what"),
            ("DELETE FROM audit_log WHERE sequence = 1", "record 1 is missing"),
            ("DELETE FROM audit_log WHERE sequence = 3", "record 3 is missing"),
            ("DELETE FROM audit_log WHERE sequence = 5", "5 records were noted, 4 are left"),
            ("DELETE FROM audit_log", "5 records were noted, 0 are left"),
        ],
    )
    def test_is_found_and_named(
        self, log: AuditLog, tamper: Callable[[str], None], statement: str, problem: str
    ) -> None:
        fill(log)
        tamper(statement)
        found = log.verify().problems
        assert len(found) == 1
        assert problem in found[0]

    def test_a_lost_head_is_found(self, log: AuditLog, head_file: Path) -> None:
        fill(log)
        head_file.unlink()
        assert "audit-head is gone" in log.verify().problems[0]

    def test_a_gap_longer_than_a_page_is_found(
        self, log: AuditLog, store: Store, tamper: Callable[[str], None]
    ) -> None:
        fill(log, 1)
        (first,) = store.list_audit()
        head = AuditHead(1, first.hash)
        store.append_audit(chain(log._key, head, [first] * 2500))
        tamper("DELETE FROM audit_log WHERE sequence BETWEEN 2 AND 2400")
        assert log.verify().problems == ("record 2 is missing, 2401 follows",)

    def test_a_lost_key_is_found(self, log: AuditLog, open_log: OpenLog, head_file: Path) -> None:
        fill(log)
        head_file.with_name("audit-key").unlink()
        assert "record 1 is not what" in open_log().verify().problems[0]

    def test_a_chain_made_without_the_key_is_found(
        self, log: AuditLog, store: Store, tamper: Callable[[str], None], head_file: Path
    ) -> None:
        fill(log)
        records = [replace(item, who="bob", hash="") for item in store.list_audit()]
        tamper("DELETE FROM audit_log")
        forged = chain(b"guess", AuditHead(), records)
        store.append_audit(forged)
        head_file.write_text(f"5 {forged[-1].hash}\n")
        assert "record 1 is not what" in log.verify().problems[0]

    def test_another_chain_of_the_same_length_is_found(
        self, log: AuditLog, open_log: OpenLog, tamper: Callable[[str], None], head_file: Path
    ) -> None:
        fill(log)
        noted = head_file.read_text()
        tamper("DELETE FROM audit_log")
        head_file.unlink()
        forged = open_log()
        for number in range(5):
            forged.record("bob", "", f"call {number}", result="0")
        head_file.write_text(noted)
        assert forged.verify().problems == ("record 5 is not the one that was noted",)

    def test_a_gap_stays_known_when_the_log_goes_on(
        self, log: AuditLog, open_log: OpenLog, tamper: Callable[[str], None]
    ) -> None:
        fill(log)
        tamper("DELETE FROM audit_log WHERE sequence > 2")
        again = open_log()
        fill(again, 10)
        assert again.verify().problems == ("record 3: 5 records were noted, 2 are left",)

    def test_a_head_that_was_not_written_in_time_does_no_harm(
        self, log: AuditLog, open_log: OpenLog, head_file: Path
    ) -> None:
        fill(log, 2)
        behind = head_file.read_text()
        fill(log, 2)
        head_file.write_text(behind)
        again = open_log()
        fill(again, 1)
        found = again.verify()
        assert (found.count, found.problems) == (5, ())


class TestSeveralServices:
    @pytest.fixture
    def join(self, store: Store, tmp_path: Path) -> Callable[[str, str], AuditLog]:
        """A life, by its id, of the service with that directory."""

        def join(place: str, member: str) -> AuditLog:
            file = tmp_path / place / "audit-head"
            return AuditLog(store, file, StoppedClock(), key=b"of all", member=member)

        return join

    def test_write_one_chain_together(self, join: Callable[[str, str], AuditLog]) -> None:
        logs = [join(f"machine-{number}", f"life-{number}") for number in range(3)]
        threads = [threading.Thread(target=fill, args=(log, 20)) for log in logs for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for log in logs:
            found = log.verify()
            assert (found.count, found.problems) == (120, ())

    def test_one_that_is_new_misses_no_note(
        self, join: Callable[[str, str], AuditLog], tmp_path: Path
    ) -> None:
        fill(join("one", "a"))
        assert join("two", "b").verify().problems == ()
        assert not [*tmp_path.rglob("audit-key")]

    def test_each_finds_what_was_taken_behind_its_own_last(
        self, join: Callable[[str, str], AuditLog], tamper: Callable[[str], None]
    ) -> None:
        one, two = join("one", "a"), join("two", "b")
        fill(one)
        fill(two, 2)
        tamper("DELETE FROM audit_log WHERE sequence > 5")
        assert one.verify().problems == ()
        assert two.verify().problems == ("7 records were noted, 5 are left",)
        assert join("two", "c").verify().problems == ("record 6: 7 records were noted, 5 are left",)

    def test_only_calls_of_the_dead_are_closed(self, join: Callable[[str, str], AuditLog]) -> None:
        one, two = join("one", "a"), join("two", "b")
        for log, name in ((one, "ann"), (two, "bob")):
            log.record(name, "192.0.2.1", "call", result="asked")
        three = join("three", "c")
        three.close_calls("a")
        answers = {call.asked.who: call.answer for call in three.list_calls(AuditQuery())}
        assert answers["bob"] is None
        assert answers["ann"] is not None
        assert answers["ann"].result == "unknown"
