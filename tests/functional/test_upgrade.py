"""Services of two versions on one PostgreSQL, as while an administrator upgrades one by one.

One run takes about 40 s: who has just begun to beat judges nobody for 10 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from functional.test_takeover import (
    COUNT,
    SPEED,
    TAKEN_OVER_S,
    connect,
    count_started,
    create,
    ended,
    judge,
)
from live.next_version import STEP, make_next_version
from live.postgresql import PostgreSql
from live.service import until
from live.services import Member, Services, simulated
from openrdms.jobs.engine import WORKFLOW_VERSION

COLLECTION = "Win32_RDMSVirtualDesktopCollection"
_STEPS = """
    SELECT function_name FROM dbos.operation_outputs
    WHERE workflow_uuid = %s ORDER BY function_id"""
_WORKFLOWS = """
    SELECT workflow_uuid, status, application_version FROM dbos.workflow_status
    WHERE workflow_uuid LIKE %s"""


@dataclass
class World:
    """One service of this version and one of the next."""

    services: Services
    next_command: Sequence[str]

    @property
    def this(self) -> Member:
        return self.services.members[0]

    @property
    def next(self) -> Member:
        return self.services.members[1]

    def start_next(self) -> None:
        self.next.start(self.next_command)

    def steps(self, guid: str) -> list[str]:
        """Of a job's workflow, with the marks of what has changed."""
        return [name for (name,) in self.services.read(_STEPS, guid)]

    def workflows(self, guid: str) -> list[tuple[str, str, str]]:
        """All of a job, with their status and version."""
        return self.services.read(_WORKFLOWS, f"{guid}%")

    def wait_for_end(self, guid: str) -> list[tuple[str, str, str]]:
        """As ``workflows`` once they have ended, which DBOS writes after a job's last step."""
        until("DBOS says so", lambda: all(row[1] != "PENDING" for row in self.workflows(guid)))
        return self.workflows(guid)

    def owner(self, guid: str) -> str:
        [(service,)] = self.services.read("SELECT service FROM jobs WHERE guid = %s", guid)
        return str(service)

    def is_taken(self, member: str) -> bool:
        """Whether all that it had begun has been handed on."""
        return self.services.read("SELECT taken FROM members WHERE id = %s", member) == [(True,)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSql) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("upgrade")
    command = make_next_version(directory / "next")
    services = Services(directory, postgresql, simulated(directory, SPEED), 2)
    try:
        services.members[0].start()
        yield World(services, command)
    finally:
        services.clear()


@pytest.fixture(scope="module")
def upgraded(world: World) -> World:
    """Both run, the next version's last: it has changed the tables under the other one."""
    [before] = world.services.read("SELECT version_num FROM alembic_version")
    world.start_next()
    [after] = world.services.read("SELECT version_num FROM alembic_version")
    assert after > before
    return world


def test_a_job_begun_before_the_upgrade_ends_on_the_next_version(upgraded: World) -> None:
    world = upgraded
    guid = create(world.this, "old", COUNT)
    begun_by = world.this.ready["service"]
    until("it is under way", lambda: count_started(world.services, "old") >= 2)
    for member in (world.this, world.next):
        with connect(member) as client:
            assert [row["Alias"] for row in client.enumerate(COLLECTION)] == ["old"]
            assert client.get_report(guid)
    assert world.owner(guid) == begun_by
    world.this.stop()  # as an administrator does
    stopped = time.monotonic()
    has_it = lambda: world.owner(guid) == world.next.ready["service"]  # noqa: E731
    until("the next version has it", has_it, TAKEN_OVER_S)
    print(f"taken over {time.monotonic() - stopped:.1f} s after the stop")
    world.this.start()
    judge(world.services, "old", guid, COUNT)
    assert world.wait_for_end(guid) == [(guid, "SUCCESS", str(WORKFLOW_VERSION + 1))]
    assert world.steps(guid) == ["plan", "forward", "settle", "end"]


def test_a_job_of_the_next_version_waits_for_a_service_of_it(upgraded: World) -> None:
    world = upgraded
    guid = create(world.next, "new", COUNT)
    until("it is under way", lambda: count_started(world.services, "new") >= 2)
    begun_by = world.owner(guid)
    assert begun_by == world.next.ready["service"]
    world.next.kill()
    until("it was handed on", lambda: world.is_taken(begun_by), TAKEN_OVER_S)
    small = create(world.this, "small", 2)
    until("this version works", lambda: ended(world.services, small))
    assert world.owner(guid) == begun_by
    assert world.workflows(guid) == [(guid, "ENQUEUED", str(WORKFLOW_VERSION + 1))]
    world.start_next()
    judge(world.services, "new", guid, COUNT)
    assert world.wait_for_end(guid) == [(guid, "SUCCESS", str(WORKFLOW_VERSION + 1))]
    assert world.steps(guid)[:3] == [f"DBOS.patch-{STEP}", STEP, "plan"]
    assert STEP not in world.steps(small)
