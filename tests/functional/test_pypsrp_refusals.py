"""What is refused by ReturnValue, what by fault, and with which codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from conftest import ServiceFactory
from live.rollout import (
    COLLECTION,
    DESKTOP,
    INVALID_OPERATION,
    INVALID_PARAMETER,
    NOT_FOUND,
    SESSION,
    WIN32_NOT_FOUND,
    begin_create,
    cancel,
    collection_state,
    create_collection,
    execute,
    follow,
    job_document,
    list_sessions,
    session_keys,
)
from live.service import Service, rdms, until
from live.wire import Wire, fault

ABSENT_GUID = "{01234567-89AB-CDEF-0123-456789ABCDEF}"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("refusals")
    cluster = f"simulator://{place}/cluster?hosts=2&clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5"
    return running_service(place / "state", cluster)


@pytest.fixture(scope="module")
def wire(service: Service) -> Wire:
    return service.wire()


@pytest.fixture(scope="module")
def finished(wire: Wire) -> str:
    """The GUID of a job that has ended; it made collection ``done`` with 3 desktops."""
    guid = begin_create(wire, "done", 3)
    assert follow(wire, guid).state == "JOB_COMPLETED"
    return guid


@pytest.fixture(scope="module")
def empty(wire: Wire) -> str:
    """A managed collection that no job has filled."""
    create_collection(wire, "empty")
    return "empty"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    """A service whose guests never finish booting."""
    place = tmp_path_factory.mktemp("slow")
    cluster = f"simulator://{place}/cluster?hosts=1&clone_ms=5&start_ms=5&boot_ms=600000"
    return running_service(place / "state", cluster)


@pytest.fixture
def running(slow: Service) -> Iterator[tuple[Wire, str]]:
    """A job that runs until the test has ended, on a collection of its own."""
    wire = slow.wire()
    alias = f"r{uuid4().hex[:8]}"
    guid = begin_create(wire, alias, 2)
    yield wire, alias
    cancel(wire, guid)
    assert follow(wire, guid).state == "JOB_ABORTED"


def test_before_the_first_job_state_is_0_and_job_empty(wire: Wire, empty: str) -> None:
    job = wire.invoke(COLLECTION, "GetStringProperty", {"Alias": empty}, Key="ProvisioningJobId")

    assert (job.return_value, job.outputs["Value"]) == (0, "")
    assert collection_state(wire, empty) == 0


def test_reading_a_key_never_set_is_a_fault(wire: Wire, empty: str) -> None:
    for method in ("GetInt32Property", "GetStringProperty"):
        with fault() as unset:
            wire.invoke(COLLECTION, method, {"Alias": empty}, Key="NeverSet")
        assert unset.code == NOT_FOUND


def test_an_unknown_class_is_a_fault(wire: Wire) -> None:
    with fault() as unknown:
        wire.enumerate("Win32_NoSuchClass")

    assert (unknown.subcode, unknown.code) == ("DestinationUnreachable", 2150858811)


def test_an_unknown_method_is_a_fault(wire: Wire) -> None:
    with fault() as unknown:
        wire.invoke(COLLECTION, "ProvisioningJobPause", JobGuid=ABSENT_GUID)

    assert unknown.subcode == "ActionNotSupported"


def test_an_unknown_parameter_is_a_fault(wire: Wire) -> None:
    with fault() as unknown:
        wire.invoke(COLLECTION, "ProvisioningJobCancel", JobGuid=ABSENT_GUID, Force="true")

    assert (unknown.subcode, unknown.detail) == ("InvalidParameter", "InvalidName")
    assert "Force" in unknown.text


def test_a_value_of_the_wrong_type_is_a_fault(wire: Wire, empty: str) -> None:
    with fault() as wrong:
        wire.invoke(COLLECTION, "SetInt32Property", {"Alias": empty}, Key="Idle", Value="many")

    assert "Value" in wrong.text


@pytest.mark.parametrize(
    ("keys", "detail"),
    [
        ({}, "InsufficientSelectors"),
        ({"VMHostName": "host1.sim.local"}, "InsufficientSelectors"),
        ({"VMHostName": "x", "SessionId": "1", "Colour": "red"}, "UnexpectedSelectors"),
        ({"VMHostName": "x", "SessionId": "one"}, "TypeMismatch"),
    ],
)
def test_keys_must_be_the_keys(wire: Wire, keys: dict[str, str], detail: str) -> None:
    with fault() as wrong:
        wire.get(SESSION, **keys)

    assert (wrong.subcode, wrong.detail) == ("InvalidSelectors", detail)


def test_no_such_instance_is_a_fault(wire: Wire) -> None:
    for call in (wire.get, wire.delete):
        with fault() as absent:
            call(COLLECTION, Alias="nobody")
        assert absent.subcode == "DestinationUnreachable"
    with fault() as absent:
        wire.invoke(COLLECTION, "AddVirtualDesktop", {"Alias": "nobody"}, VMName="x")
    assert absent.subcode == "DestinationUnreachable"


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("<rdvp:Action>Create", "<rdvp:Action>Destroy", "Action"),
        ("<rdvp:OnError>Stop", "<rdvp:OnError>Panic", "OnError"),
        ("<rdvp:VhdType>DiffDisk", "<rdvp:VhdType>Raw", "VhdType"),
        ("<rdvp:NumberVms>1", "<rdvp:NumberVms>some", "NumberVms"),
        ("<rdvp:NamingStartIndex>1", "<rdvp:NamingStartIndex>-1", "NamingStartIndex"),
        ("<rdvp:NamingPrefix>empty-", "<rdvp:NamingPrefix>a b", "NamingPrefix"),
        ("<rdvp:RunVMsFromSMB>0", "<rdvp:RunVMsFromSMB>2", "RunVMsFromSMB"),
        ("<rdvp:OU></rdvp:OU>", "", "OU"),
        ("<rdvp:Job>", "<rdvp:Job><rdvp:Extra/>", "Extra"),
        ("<rdvp:OU>", "<rdvp:OU>R&D", "JobInputXml"),
    ],
)
def test_a_wrong_job_document_is_refused_naming_the_element(
    wire: Wire, empty: str, before: str, after: str, named: str
) -> None:
    document = job_document("Create", empty, prefix="empty-", count=1)
    assert before in document

    answer = wire.invoke(
        COLLECTION, "ProvisioningJobExecute", JobInputXml=document.replace(before, after)
    )
    assert answer.return_value == INVALID_PARAMETER
    assert named in answer.reason
    assert collection_state(wire, empty) == 0


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (job_document("Create", "nobody", prefix="n-", count=1), "nobody"),
        (job_document("Create", "empty", prefix="n-", count=1, host="host9"), "host9"),
        (job_document("Create", "empty", prefix="n-", count=1, base="image:none"), "none"),
        (job_document("Delete", "done", selected=("done-1", "nobody-7")), "nobody-7"),
    ],
    ids=["collection", "host", "image", "desktop"],
)
def test_what_a_job_names_must_exist(
    wire: Wire, empty: str, finished: str, document: str, named: str
) -> None:
    answer = wire.invoke(COLLECTION, "ProvisioningJobExecute", JobInputXml=document)

    assert answer.return_value == NOT_FOUND
    assert named in answer.reason


def test_cancel_of_a_job_nobody_knows(wire: Wire) -> None:
    assert cancel(wire, ABSENT_GUID) == NOT_FOUND


@pytest.mark.parametrize("text", ["", "job 1", ABSENT_GUID[:-1], "0123456789ABCDEF" * 2])
def test_cancel_needs_a_guid(wire: Wire, text: str) -> None:
    assert cancel(wire, text) == INVALID_PARAMETER


@pytest.mark.parametrize(
    "spelling", [str, str.lower, lambda guid: guid.strip("{}"), lambda guid: guid[1:-1].lower()]
)
def test_guids_are_read_with_or_without_braces_in_any_case(
    wire: Wire, finished: str, spelling: Callable[[str], str]
) -> None:
    report = wire.invoke(COLLECTION, "ProvisioningJobGetReport", JobGuid=spelling(finished))

    assert report.return_value == 0
    assert cancel(wire, spelling(finished)) == INVALID_OPERATION


def test_a_running_job_keeps_other_jobs_away(running: tuple[Wire, str]) -> None:
    wire, alias = running
    document = job_document("Update", alias, prefix=f"{alias}-", count=1)

    answer = wire.invoke(COLLECTION, "ProvisioningJobExecute", JobInputXml=document)
    assert answer.return_value == INVALID_OPERATION
    assert collection_state(wire, alias) == 2


def test_a_collection_with_a_running_job_cannot_be_deleted(running: tuple[Wire, str]) -> None:
    wire, alias = running
    with fault() as busy:
        wire.delete(COLLECTION, Alias=alias)

    assert busy.code == INVALID_OPERATION


def test_running_jobs_are_enumerated(running: tuple[Wire, str]) -> None:
    wire, alias = running
    inputs = {"JobType": "0", "CollectionAlias": alias}
    jobs = wire.invoke(COLLECTION, "ProvisioningEnumerateJobs", **inputs)
    ended = wire.invoke(COLLECTION, "ProvisioningEnumerateJobs", **inputs | {"JobType": "1"})

    current = wire.invoke(
        COLLECTION, "GetStringProperty", {"Alias": alias}, Key="ProvisioningJobId"
    )
    assert jobs.outputs["JobGuids"] == current.outputs["Value"]
    assert not ended.outputs.get("JobGuids")


def test_cancelling_twice_is_harmless(slow: Service) -> None:
    wire = slow.wire()
    guid = begin_create(wire, "twice", 2)

    assert [cancel(wire, guid), cancel(wire, guid)] == [0, 0]
    assert follow(wire, guid).state == "JOB_ABORTED"
    assert cancel(wire, guid) == 0
    assert collection_state(wire, "twice") == 12


def test_a_running_delete_cannot_be_cancelled(
    tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory
) -> None:
    place = tmp_path_factory.mktemp("deleting")
    cluster = f"simulator://{place}/cluster?hosts=1&slots=1&boot_ms=50&destroy_ms=1000"
    wire = running_service(place / "state", cluster).wire()
    assert follow(wire, begin_create(wire, "goes", 2)).state == "JOB_COMPLETED"

    guid = execute(wire, job_document("Delete", "goes", selected=(), on_error="Continue"))
    assert cancel(wire, guid) == INVALID_OPERATION
    assert follow(wire, guid).state == "JOB_COMPLETED"


def test_a_managed_collection_with_desktops_cannot_be_deleted(wire: Wire, finished: str) -> None:
    with fault() as full:
        wire.delete(COLLECTION, Alias="done")

    assert full.code == INVALID_OPERATION


def test_a_former_member_can_be_removed_again(wire: Wire, finished: str) -> None:
    for _ in range(2):
        removed = wire.invoke(
            COLLECTION, "RemoveVirtualDesktop", {"Alias": "done"}, VMName="done-3"
        )
        assert removed.return_value == 0
    assert wire.get(DESKTOP, Name="done-3")["CollectionAlias"] == ""
    stranger = wire.invoke(COLLECTION, "RemoveVirtualDesktop", {"Alias": "done"}, VMName="nobody-7")
    assert stranger.return_value == NOT_FOUND


def test_session_methods_do_what_they_return(service: Service, wire: Wire, finished: str) -> None:
    session = list_sessions(wire, "done")[0]
    message = {"Title": "Fire & flood", "Message": "Leave $(now); <please>\n\u00fcber \u2603"}

    sent = wire.invoke(SESSION, "SendMessage", session_keys(session), **message)
    assert sent.return_value == 0
    truth = rdms("simulator", "state", service.state_dir.parent / "cluster")
    shown = [
        (shown["title"], shown["text"])
        for host in truth["hosts"]
        for vm in host["vms"]
        if vm["name"] == session["VMName"]
        for user in vm["sessions"]
        for shown in user["messages"]
    ]
    assert shown == [(message["Title"], message["Message"])]

    assert wire.invoke(SESSION, "Disconnect", session_keys(session)).return_value == 0
    until(
        "it is disconnected",
        lambda: wire.get(SESSION, **session_keys(session))["ConnectState"] == "4",
    )


def test_a_session_that_has_gone_is_told_by_1168(wire: Wire, finished: str) -> None:
    # A reset after the logoff would switch the desktop off, which is another answer (21).
    wire.put(COLLECTION, {"RollbackEnabled": "false"}, Alias="done")
    session = list_sessions(wire, "done")[-1]
    keys = session_keys(session)
    assert wire.invoke(SESSION, "Logoff", keys).return_value == 0

    assert keys not in [session_keys(other) for other in list_sessions(wire, "done")]
    late = wire.invoke(SESSION, "SendMessage", keys, Title="Late", Message="Too late")
    assert late.return_value == WIN32_NOT_FOUND
    assert wire.invoke(SESSION, "Disconnect", keys).return_value == WIN32_NOT_FOUND
    assert wire.invoke(SESSION, "Logoff", keys).return_value == WIN32_NOT_FOUND
    with fault() as absent:
        wire.get(SESSION, **keys)
    assert absent.subcode == "DestinationUnreachable"


def test_a_reply_over_the_callers_envelope_says_which_size_would_do(service: Service) -> None:
    wire = service.wire()
    report = follow(wire, begin_create(wire, "wide", 60))
    assert report.state == "JOB_COMPLETED"
    guid = str(
        wire.invoke(
            COLLECTION, "GetStringProperty", {"Alias": "wide"}, Key="ProvisioningJobId"
        ).outputs["Value"]
    )
    narrow = Wire(service.client(max_envelope_size=8192))

    with fault() as exceeded:
        narrow.invoke(COLLECTION, "ProvisioningJobGetReport", JobGuid=guid)
    assert (exceeded.subcode, exceeded.detail) == ("EncodingLimit", "MaxEnvelopeSizeExceeded")
    needed = max(int(word) for word in exceeded.text.split() if word.isdigit())
    narrow.client.max_envelope_size = needed
    answer = narrow.invoke(COLLECTION, "ProvisioningJobGetReport", JobGuid=guid)
    assert answer.return_value == 0
