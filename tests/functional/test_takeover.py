"""Three services on one PostgreSQL: a job goes on whichever of them dies or is paused, and nothing
is done twice.
"""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from live.postgresql import PostgreSql
from live.service import PASSWORD, until
from live.services import Member, Services, services
from openrdms.adapters.sql.members import SILENT_SECONDS
from openrdms.cli.rdms_client import Login, RdmsClient
from openrdms.model.collection import CollectionState
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import HostAllocation, JobDocument, OnError, render_job

COLLECTION = "Win32_RDMSVirtualDesktopCollection"
SPEED = "hosts=3&slots=2&clone_ms=300&start_ms=300&boot_ms=300&agent_ms=1"
COUNT = 30
TAKEN_OVER_S = 120
"""Nobody judges who has not beaten for 10 s without a gap, which takes a busy machine a while."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSql) -> Iterator[Services]:
    with services(tmp_path_factory.mktemp("services"), postgresql, SPEED) as started:
        yield started


@pytest.fixture
def three(running: Services) -> Services:
    """All of them alive."""
    for member in running.members:
        if member.is_running:
            member.signal(signal.SIGCONT)
        else:
            running.start_again(member)
    return running


def connect(member: Member) -> RdmsClient:
    certificate = member.state_dir / "tls" / "certificate.pem"
    return RdmsClient(Login(member.ready["wsman_https"], "admin", PASSWORD, certificate))


def create(member: Member, alias: str, count: int) -> str:
    """The GUID of a job that has been accepted."""
    document = JobDocument(
        action=JobAction.CREATE,
        on_error=OnError.STOP,
        collection=alias,
        disk_kind=DiskKind.LINKED,
        base_vm_location="image:tiny",
        name_prefix=f"{alias}-",
        hosts=(HostAllocation("", count),),
    )
    client = connect(member)
    client.create(COLLECTION, {"Alias": alias, "Name": alias, "Type": 1, "IsManaged": True})
    outputs = client.invoke(COLLECTION, "ProvisioningJobExecute", JobInputXml=render_job(document))
    return str(outputs["JobGuid"])


def count_started(three: Services, alias: str) -> int:
    return operations(three, alias, "start")[0]


def operations(three: Services, alias: str, kind: str) -> tuple[int, int]:
    """How many VMs of a collection that was done to, and how often to one at most."""
    query = (
        "SELECT count(*), coalesce(max(done), 0) FROM attempts"
        " WHERE kind = ? AND vm LIKE ? AND done > 0"
    )
    with closing(sqlite3.connect(three.simulator / "state.sqlite", timeout=30)) as truth:
        count, most = truth.execute(query, (kind, f"{alias}-%")).fetchone()
    return count, most


def ended(three: Services, guid: str) -> bool:
    return bool(three.read("SELECT 1 FROM jobs WHERE guid = %s AND ended IS NOT NULL", guid))


def judge(three: Services, alias: str, guid: str, count: int) -> None:
    """The job has made what was asked for, and did nothing twice."""
    until("the job has ended", lambda: ended(three, guid), 120)
    [(state, error)] = three.read("SELECT state, error FROM jobs WHERE guid = %s", guid)
    assert (state, error) == (CollectionState.JOB_COMPLETED, "")
    for kind in ("clone", "start"):
        assert operations(three, alias, kind) == (count, 1)
    assert three.read("SELECT count(*) FROM desktops WHERE home_key = %s", alias) == [(count,)]
    assert three.find_orphans() == []


def test_a_job_goes_on_when_its_service_is_killed(three: Services) -> None:
    time.sleep(SILENT_SECONDS)  # who has just begun to beat judges nobody
    guid = create(three.members[0], "killed", COUNT)
    until("it is under way", lambda: count_started(three, "killed") >= 2)
    owner = until("one has it that lives", lambda: three.owner(guid))
    assert owner
    before = operations(three, "killed", "start")
    owner.kill()
    begun = time.monotonic()
    until("another one goes on with it", lambda: three.owner(guid), TAKEN_OVER_S)
    until("it takes a step", lambda: operations(three, "killed", "start") > before)
    print(f"taken over after {time.monotonic() - begun:.1f} s")
    judge(three, "killed", guid, COUNT)


def test_a_paused_service_wakes_and_ends_and_does_nothing_more(three: Services) -> None:
    guid = create(three.members[0], "paused", COUNT)
    until("it is under way", lambda: count_started(three, "paused") >= 2)
    owner = until("one has it that lives", lambda: three.owner(guid))
    assert owner
    owner.signal(signal.SIGSTOP)
    # No step of it is waited for: paused, it may hold the lock of the simulator's file.
    others = lambda: three.owner(guid) not in (None, owner)  # noqa: E731
    until("another one goes on with it", others, TAKEN_OVER_S)
    owner.signal(signal.SIGCONT)
    owner.wait_until_fenced()
    judge(three, "paused", guid, COUNT)


def test_a_job_goes_on_that_a_fenced_service_took_up_before_it_learnt_of_that(
    three: Services,
) -> None:
    guid = create(three.members[0], "stray", COUNT)
    until("it is under way", lambda: count_started(three, "stray") >= 2)
    owner = until("one has it that lives", lambda: three.owner(guid))
    assert owner
    owner.kill()
    # As if it had been cut off, and everything of it been taken over right before it took this.
    with three.postgresql.connect(three.database) as records:
        taken = "UPDATE members SET fenced = true, taken = true WHERE id = %s"
        records.execute(taken, (owner.ready["service"],))
    until("another one goes on with it", lambda: three.owner(guid), TAKEN_OVER_S)
    judge(three, "stray", guid, COUNT)


def test_a_cancel_reaches_a_job_that_runs_elsewhere(three: Services) -> None:
    with connect(three.members[1]) as client:
        client.get(COLLECTION, {"Alias": "killed"})  # so that it knows who asks
        guid = create(three.members[0], "cancelled", COUNT)
        until("it is under way", lambda: count_started(three, "cancelled") >= 1)
        client.invoke(COLLECTION, "ProvisioningJobCancel", JobGuid=guid)
    until("it has ended", lambda: ended(three, guid))
    assert three.owner(guid)
    assert three.read("SELECT count(*) FROM desktops WHERE home_key = 'cancelled'") == [(0,)]
    assert three.find_orphans() == []
