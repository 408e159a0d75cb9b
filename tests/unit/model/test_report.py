import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from openrdms.model.collection import CollectionState
from openrdms.model.errors import InvalidParameter
from openrdms.model.host import DiskKind
from openrdms.model.job import END_STATE, Job, JobAction, JobDesktop, Phase, VmStatus
from openrdms.model.reason import ReasonCode, Wait, render_reason
from openrdms.model.report import (
    DesktopReport,
    Report,
    build_report,
    parse_report,
    render_report,
)

SCHEMA = etree.XMLSchema(
    etree.fromstring((resources.files("openrdms.model") / "report.xsd").read_bytes())
)
NOW = datetime(2026, 11, 21, 12, 0, 0, 250000, tzinfo=UTC)
GUID = "{0B0C2F0A-8A2F-4B0E-9E0C-0A4E3C1D2B3A}"
JOB = Job(
    guid=GUID,
    collection="Sales",
    action=JobAction.CREATE,
    state=CollectionState.CREATE_VIRTUAL_DESKTOP_INPROGRESS,
    document="",
    options={"requested": 2},
    started=NOW,
    modified=NOW,
)
DESKTOP = JobDesktop(
    job=GUID,
    ordinal=0,
    name="sales-1",
    host="host1",
    uuid=UUID(int=1),
    mac="52:54:00:00:00:01",
    image="tiny@1",
    disk_kind=DiskKind.LINKED,
    generation=1,
)

# every character, also those that XML cannot hold: error texts come from hosts and guests
ANY_TEXT = st.text(max_size=40)
DESKTOPS = st.builds(
    DesktopReport,
    name=st.text("abc-1", min_size=1),
    host=st.text("host.1", min_size=1),
    status=st.sampled_from(VmStatus),
    error=ANY_TEXT,
    undone=st.lists(st.sampled_from(["record", *Phase]), max_size=5).map(tuple),
    note=ANY_TEXT,
    code=st.sampled_from(["", *ReasonCode]),
    reason=ANY_TEXT,
    position=st.none() | st.integers(1, 10**6),
    seconds=st.none() | st.integers(0, 10**6),
)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
REPORTS = st.builds(
    Report,
    job_guid=st.uuids().map(lambda uuid: f"{{{uuid}}}".upper()),
    collection=st.text("abc 1_", max_size=20),
    action=st.sampled_from(JobAction),
    state=st.sampled_from(CollectionState),
    started=TIMES,
    modified=TIMES,
    requested=st.integers(0, 10**6),
    succeeded=st.integers(0, 10**6),
    failed=st.integers(0, 10**6),
    percent=st.integers(0, 100),
    end=st.none() | TIMES,
    code=st.sampled_from(["", *ReasonCode]),
    error=ANY_TEXT,
    note=ANY_TEXT,
    desktops=st.lists(DESKTOPS, max_size=3).map(tuple),
)


@given(REPORTS)
def test_every_report_is_valid_by_its_schema(report: Report) -> None:
    SCHEMA.assertValid(etree.fromstring(render_report(report)))


@given(REPORTS)
def test_what_is_read_renders_the_same(report: Report) -> None:
    text = render_report(report)
    assert render_report(parse_report(text)) == text
    desktops = tuple(replace(d, error="", note="", reason="") for d in report.desktops)
    plain = replace(report, error="", note="", desktops=desktops)
    assert parse_report(render_report(plain)) == plain


def test_elements_only_one_state_and_no_indentation() -> None:
    text = render_report(build_report(JOB, [DESKTOP]))
    root = etree.fromstring(text)
    assert not any(element.attrib for element in root.iter())
    assert "> <" not in text
    assert "\n" not in text
    assert text.count("<State>") == 1
    assert root.findtext("{*}State") == "CREATE_VIRTUAL_DESKTOP_INPROGRESS"


@given(st.text(max_size=100))
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_report(text)


def test_requested_is_known_before_the_plan() -> None:
    report = build_report(JOB, [])
    assert (report.requested, report.percent, report.desktops) == (2, 0, ())


@pytest.mark.parametrize(
    ("done", "status", "percent"),
    [
        (None, VmStatus.PENDING, 0),
        (Phase.DISK, VmStatus.IN_PROGRESS, 20),
        (Phase.AGENT, VmStatus.IN_PROGRESS, 80),
        (Phase.IDENTITY, VmStatus.COMPLETE, 99),
        (Phase.DISK, VmStatus.FAILED, 99),
    ],
)
def test_percent_follows_the_phases(done: Phase | None, status: VmStatus, percent: int) -> None:
    row = replace(DESKTOP, done=done, status=status)
    assert build_report(JOB, [row]).percent == percent
    assert build_report(replace(JOB, ended=NOW), [row]).percent == 100


def test_totals_and_words() -> None:
    rows = [
        replace(DESKTOP, status=VmStatus.COMPLETE, notes="not joined to corp"),
        replace(DESKTOP, status=VmStatus.FAILED, error="no space", undone=("define", "disk")),
        replace(DESKTOP, status=VmStatus.CANCELLED, error="cancelled"),
    ]
    report = build_report(JOB, rows)
    assert (report.succeeded, report.failed) == (1, 1)
    assert [d.error for d in report.desktops] == ["", "no space", "cancelled"]
    assert [d.note for d in report.desktops] == ["not joined to corp", "", ""]
    assert report.desktops[1].undone == ("define", "disk")


def test_why_each_is_as_it_is() -> None:
    rows = [
        replace(DESKTOP, reason=ReasonCode.LEAST_LOADED),
        replace(DESKTOP, ordinal=1, reason=ReasonCode.AS_ASKED),
        replace(
            DESKTOP, ordinal=2, status=VmStatus.FAILED, error="no", reason=ReasonCode.HOST_REFUSED
        ),
    ]
    waits = {0: Wait(ReasonCode.HOST_BUSY, "waits its turn", NOW, position=3, seconds=7.2)}
    report = build_report(JOB, rows, waits, NOW)
    first, second, third = report.desktops
    assert (first.code, first.reason) == ("HostBusy", "waits its turn")
    assert (first.position, first.seconds) == (3, 8)
    assert (second.code, second.reason, second.position) == ("AsAsked", "as the job asks", None)
    assert (third.code, third.reason, third.error) == ("HostRefused", "", "no")
    assert parse_report(render_report(report)) == report


def test_why_a_job_has_failed_as_a_whole() -> None:
    refused = render_reason(ReasonCode.NO_MEMORY, "NumberVms: host1: nothing left")
    report = build_report(replace(JOB, error=refused), [])
    assert (report.code, report.error) == ("NoMemory", "NumberVms: host1: nothing left")
    old = build_report(replace(JOB, error="of an older version: no code"), [])
    assert (old.code, old.error) == ("", "of an older version: no code")


OF_VERSION_0_1 = (
    '<ProvisioningJobReport xmlns="http://www.microsoft.com/rdv/2010/05/"><JobGuid>'
    "{0B0C2F0A-8A2F-4B0E-9E0C-0A4E3C1D2B3A}</JobGuid><CollectionAlias>a</CollectionAlias>"
    "<Action>Create</Action><State>JOB_COMPLETED</State>"
    "<JobStartTime>2026-11-21T12:00:00.250000Z</JobStartTime>"
    "<JobLastModifiedTime>2026-11-21T12:00:00.250000Z</JobLastModifiedTime>"
    "<TotalRequested>1</TotalRequested><TotalSucceeded>1</TotalSucceeded><TotalFailed>0"
    "</TotalFailed><PercentComplete>100</PercentComplete><VmStatus><VirtualDesktopName>d"
    "</VirtualDesktopName><HostName>h</HostName><Status>Complete</Status><Error/></VmStatus>"
    "</ProvisioningJobReport>"
)


def test_a_report_of_an_older_version_is_read() -> None:
    report = parse_report(OF_VERSION_0_1)
    assert (report.started, report.end, report.code) == (NOW, None, "")
    assert report.desktops == (DesktopReport("d", "h", VmStatus.COMPLETE),)


def test_a_report_of_20000_desktops_is_made_and_read_in_a_moment() -> None:
    rows = [replace(DESKTOP, ordinal=n, name=f"d-{n}", notes="x") for n in range(20_000)]
    begun = time.thread_time()
    assert len(parse_report(render_report(build_report(JOB, rows))).desktops) == 20_000
    assert time.thread_time() - begun < 10


def test_prep_reports_the_vm_that_was_copied() -> None:
    job = replace(JOB, action=JobAction.PREP, options={"vm": "master"})
    assert build_report(job, [DESKTOP]).desktops[0].name == "master"


def test_end_states_are_idle() -> None:
    from openrdms.model.collection import IDLE_STATES

    assert {state for ends in END_STATE.values() for state in ends.values()} <= IDLE_STATES
    assert set(END_STATE) == set(JobAction)
