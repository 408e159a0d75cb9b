"""The guard: who is let through, and what stands in the audit log afterwards."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from fakes.clock import StoppedClock
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.guard import Operation
from openrdms.cim.provider import Caller, MethodResult
from openrdms.model import errors
from openrdms.model.audit import AuditedCall, AuditQuery
from openrdms.ports import Store
from openrdms.security.audit_log import AuditLog
from openrdms.security.guard import PolicyGuard

RDMS = "root/cimv2/rdms"
SESSION = "Win32_VirtualDesktopSession"
SETTINGS = "Win32_RDMSDeploymentSettings"
ALICE = Caller("alice", "192.0.2.1", "operator")
ADMIN = Caller("admin", "192.0.2.1", "administrator")


@pytest.fixture
def log(store: Store, tmp_path: Path, clock: StoppedClock) -> AuditLog:
    return AuditLog(store, tmp_path / "audit-head", clock)


@pytest.fixture
def guard(log: AuditLog) -> PolicyGuard:
    return PolicyGuard(log)


def operation(name: str, class_name: str = SESSION, **values: object) -> Operation:
    keys = {"VMHostName": "host1", "SessionId": 7} if class_name == SESSION else {}
    return Operation(RDMS, class_name, name, keys, values)  # type: ignore[arg-type]


def read(log: AuditLog) -> list[AuditedCall]:
    return log.list_calls(AuditQuery())


def test_a_change_is_on_record_before_it_begins_and_after(
    guard: PolicyGuard, log: AuditLog
) -> None:
    with guard.watch(ALICE, operation("SendMessage", Title="secret", Message="words")) as outcome:
        (call,) = read(log)
        assert call.answer is None
        assert call.asked.result == "asked"
        outcome.answered(MethodResult())
    (call,) = read(log)
    asked, answer = call.asked, call.answer
    assert answer is not None
    assert (asked.who, asked.address) == ("alice", "192.0.2.1")
    assert asked.what == f"{RDMS}/{SESSION}/SendMessage"
    assert asked.on == answer.on == {"VMHostName": "host1", "SessionId": 7}
    assert asked.parameters == {"Title": "…", "Message": "…"}
    assert (answer.result, answer.reason, answer.of) == ("0", "", asked.sequence)
    assert log.verify().problems == ()


@pytest.mark.parametrize(
    ("return_value", "result"), [(5, "5"), (1722, "1722"), (0x80041002, "0x80041002")]
)
def test_a_methods_refusal_is_its_result(
    guard: PolicyGuard, log: AuditLog, return_value: int, result: str
) -> None:
    with guard.watch(ALICE, operation("Logoff")) as outcome:
        outcome.answered(MethodResult(return_value, reason="SessionId: not now"))
    answer = read(log)[0].answer
    assert answer is not None
    assert (answer.result, answer.reason) == (result, "SessionId")


def test_harmless_outputs_are_kept(guard: PolicyGuard, log: AuditLog) -> None:
    execute = operation("ProvisioningJobExecute", "Win32_RDMSVirtualDesktopCollection")
    with guard.watch(ALICE, execute) as outcome:
        outcome.answered(MethodResult(outputs={"JobGuid": "{1}", "JobReportXml": "<a/>"}))
    answer = read(log)[0].answer
    assert answer is not None
    assert answer.parameters == {"JobGuid": "{1}"}


@pytest.mark.parametrize(
    ("error", "result", "reason"),
    [
        (CimError(CimStatus.NOT_FOUND, "no such session"), "NOT_FOUND", ""),
        (CimError(CimStatus.FAILED, "wrong", names=["A", "B"]), "FAILED", "A, B"),
        (errors.InvalidParameter("Title", "secret"), "0x80041008", "Title"),
        (errors.InvalidOperation("not now"), "0x80041016", ""),
        (ZeroDivisionError("secret"), "ZeroDivisionError", ""),
    ],
)
def test_an_exception_is_the_result_and_goes_on(
    guard: PolicyGuard, log: AuditLog, error: Exception, result: str, reason: str
) -> None:
    with pytest.raises(type(error)) as raised, guard.watch(ALICE, operation("Logoff")):
        raise error
    assert raised.value is error
    answer = read(log)[0].answer
    assert answer is not None
    assert (answer.result, answer.reason) == (result, reason)


def test_no_secret_stands_in_the_log(guard: PolicyGuard, log: AuditLog, tmp_path: Path) -> None:
    secret = "Server=db;Pwd=hunter2"
    asked = operation("SetConnectionString", SETTINGS, ConnectionString=secret)
    with pytest.raises(CimError), guard.watch(ADMIN, asked):
        raise CimError(CimStatus.FAILED, f"ConnectionString: {secret!r}: wrong, near Pwd=hunter2")
    prepare = operation(
        "ProvisioningPrepJob", "Win32_RDMSVirtualDesktopCollection", Password="hunter2"
    )
    with guard.watch(ADMIN, prepare) as outcome:
        outcome.answered(MethodResult(5, reason="cannot log on with 'hunter2'"))
    assert len(read(log)) == 2
    records = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"ProvisioningPrepJob" in records
    assert b"hunter2" not in records


def test_reads_leave_nothing(guard: PolicyGuard, log: AuditLog) -> None:
    with guard.watch(ALICE, operation("Enumerate")) as outcome:
        outcome.answered(MethodResult(5))
    with pytest.raises(CimError), guard.watch(ALICE, operation("Get")):
        raise CimError(CimStatus.NOT_FOUND, "no such session")
    assert read(log) == []


@pytest.mark.parametrize("name", ["GetConnectionString", "SetConnectionString"])
def test_a_refusal_is_on_record_once(guard: PolicyGuard, log: AuditLog, name: str) -> None:
    with pytest.raises(CimError, match=rf"{SETTINGS}\.{name}") as refused:
        guard.watch(ALICE, operation(name, SETTINGS, ConnectionString="Pwd=x"))
    assert (refused.value.status, refused.value.wbem) == (CimStatus.ACCESS_DENIED, 0x80041003)
    (call,) = read(log)
    assert call.answer is None
    assert (call.asked.who, call.asked.what) == ("alice", f"{RDMS}/{SETTINGS}/{name}")
    assert (call.asked.result, call.asked.parameters) == ("denied", {"ConnectionString": "…"})


def test_refusals_that_repeat_are_counted(
    guard: PolicyGuard, log: AuditLog, clock: StoppedClock
) -> None:
    helen = Caller("helen", "192.0.2.9", "helpdesk")
    for caller in (helen, helen, ALICE, helen):
        with pytest.raises(CimError):
            guard.watch(caller, operation("GetConnectionString", SETTINGS))
    assert [call.asked.who for call in read(log)] == ["helen", "alice"]
    clock.move(timedelta(minutes=1))
    *_, count = read(log)
    assert (count.asked.who, count.asked.result) == ("helen", "denied")
    assert count.asked.parameters == {"times": 2}
    with pytest.raises(CimError):
        guard.watch(helen, operation("GetConnectionString", SETTINGS))
    assert len(read(log)) == 4


def test_nothing_is_done_that_cannot_be_recorded(
    guard: PolicyGuard, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise errors.OperationFailed("disk full")

    monkeypatch.setattr(store, "append_audit", fail)
    done = False
    with pytest.raises(CimError) as refused, guard.watch(ALICE, operation("Logoff")):
        done = True
    assert refused.value.status is CimStatus.FAILED
    assert not done
    with pytest.raises(CimError):
        guard.watch(Caller("eve", "", "user"), operation("Logoff"))


def test_what_was_done_is_not_denied_when_its_result_cannot_be_recorded(
    guard: PolicyGuard, store: Store, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise errors.OperationFailed("disk full")

    with guard.watch(ALICE, operation("Logoff")):
        monkeypatch.setattr(store, "append_audit", fail)
    monkeypatch.undo()
    answer = read(log)[0].answer  # when it could be
    assert answer
    assert answer.result == "0"


def test_an_allowed_read_costs_next_to_nothing(guard: PolicyGuard) -> None:
    wanted = operation("Get")
    used = time.thread_time()
    for _ in range(10_000):
        with guard.watch(ALICE, wanted):
            pass
    assert time.thread_time() - used < 0.5
