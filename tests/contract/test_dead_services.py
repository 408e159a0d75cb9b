"""What services that died left under way is cleared; what others have under way is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contract.repeated_request_suite import make_request, put_alice
from contract.store_suite import make_copying, make_desktop
from contract.task_suite import make_task
from live.postgresql import PostgreSql
from openrdms.adapters import sql
from openrdms.adapters.sql.desktop_uses import _TOLD_SECONDS, SHOWN_SECONDS
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.task import TaskState
from openrdms.ports import MemberStore, Store
from openrdms.services import live_connections, local_copy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(hours=24)

Service = tuple[Store, MemberStore]


class Ended(Exception):
    pass


def _end(why: str) -> None:
    raise Ended(why)


@pytest.fixture
def services(postgresql_records: str) -> Iterator[list[Service]]:
    """One that lives, one that will have died, one that starts."""
    opened = [sql.open_shared_store(postgresql_records, letter * 16, _end) for letter in "abc"]
    for number, (_, members) in enumerate(opened):
        members.join(f"service{number}", "", "1")
    yield opened
    for store, members in opened:
        members.close()
        store.close()


@pytest.fixture
def living(services: list[Service]) -> Store:
    return services[0][0]


@pytest.fixture
def dying(services: list[Service]) -> Store:
    return services[1][0]


@pytest.fixture
def starting(services: list[Service]) -> Store:
    return services[2][0]


def fence_the_dying(postgresql: PostgreSql, postgresql_records: str) -> None:
    with postgresql.connect(postgresql_records.rpartition("/")[2]) as server:
        server.execute("UPDATE members SET fenced = true WHERE id = %s", ("b" * 16,))


def _prepare(store: Store, name: str) -> None:
    def change(use: DesktopUse) -> DesktopUse:
        return replace(use, use=Use.PREPARING)

    assert store.change_uses([name], change)


def test_uses_that_nobody_alive_prepares(
    living: Store, dying: Store, starting: Store, postgresql: PostgreSql, postgresql_records: str
) -> None:
    living.put_desktops([make_desktop("d1"), make_desktop("d2"), make_desktop("d3")])
    _prepare(living, "d1")
    _prepare(dying, "d2")
    living.change_uses(["d3"], lambda use: replace(use, use=Use.WORK, claim="{GONE}"))
    assert [use.name for use in starting.list_left_uses()] == ["d3"]
    fence_the_dying(postgresql, postgresql_records)
    assert [use.name for use in starting.list_left_uses()] == ["d2", "d3"]
    _prepare(living, "d2")
    assert [use.name for use in starting.list_left_uses()] == ["d3"]


def test_tasks(
    living: Store, dying: Store, starting: Store, postgresql: PostgreSql, postgresql_records: str
) -> None:
    living.add_task(make_task("one"))
    dying.add_task(make_task("two"))
    starting.end_tasks("why", NOW)
    assert starting.list_tasks(None, 9)
    assert [task.ended for task in starting.list_tasks(None, 9)] == [None, None]
    fence_the_dying(postgresql, postgresql_records)
    starting.end_tasks("why", NOW)
    states = {task.id: task.state for task in starting.list_tasks(None, 9)}
    assert states == {"one": TaskState.WAITING, "two": TaskState.FAILED}


def test_who_runs_a_job(living: Store, starting: Store) -> None:
    job = make_copying("vm1")
    living.accept_job(job)
    assert starting.find_runner(job.guid) == ""
    living.adopt_job(job.guid)
    assert starting.find_runner(job.guid) == "a" * 16


def test_requests_that_may_come_again(
    living: Store, dying: Store, starting: Store, postgresql: PostgreSql, postgresql_records: str
) -> None:
    put_alice(living)
    one, two = make_request("one"), make_request("two")
    living.add_request(one, NOW - DAY)
    dying.add_request(two, NOW - DAY)
    assert living.take_request("alice", "one")
    assert not starting.take_request("alice", "one")
    assert not starting.take_request("alice", "two")
    fence_the_dying(postgresql, postgresql_records)
    assert starting.take_request("alice", "two")
    assert not living.take_request("alice", "two")
    starting.put_request(replace(two, status=201))
    assert not starting.take_request("alice", "two")


def test_what_a_service_that_is_cut_off_may_show_is_nobody_elses_yet(
    living: Store, services: list[Service], postgresql: PostgreSql, postgresql_records: str
) -> None:
    now = datetime.now(UTC)
    living.put_desktops([make_desktop("fresh"), make_desktop("left"), make_desktop("old")])

    def free(name: str, since: datetime) -> None:
        changes = {"use": Use.READY, "since": since, "holder": "", "asked": False}
        living.change_uses([name], lambda use: replace(use, **changes))  # type: ignore[arg-type]

    def leave(name: str, age: float) -> None:
        """Its user left so many seconds ago. The service that noted it has a clock that is slow."""
        free(name, now - timedelta(minutes=10))
        with postgresql.connect(postgresql_records.rpartition("/")[2]) as server:
            server.execute(
                "UPDATE desktop_uses SET stay_ended = stay_ended - %s * interval '1 s'"
                " WHERE name_key = %s",
                (age, name),
            )

    def take(who: str) -> str:
        taken = living.take_ready(make_desktop("fresh").collection, who, now)
        return taken.name if taken else ""

    def hear(age: float, *, died: bool = False) -> None:
        """The dying one beat last so many seconds ago."""
        with postgresql.connect(postgresql_records.rpartition("/")[2]) as server:
            server.execute(
                "UPDATE members SET died = id <> %s OR %s,"
                " beat = clock_timestamp() - %s * interval '1 s'",
                ("b" * 16, died, age),
            )

    for name, age in (("left", 0.0), ("old", 300.0)):
        living.change_uses([name], lambda use: replace(use, use=Use.TAKEN, holder="ann"))
        leave(name, age)
    hear(20)
    assert take("bob") == "old"
    assert take("carol") == ""
    free("fresh", now)  # nobody had it before
    assert take("carol") == "fresh"
    assert take("dave") == ""
    hear(20, died=True)
    assert take("dave") == "left"
    leave("left", 0)
    hear(20)
    assert take("erin") == ""
    hear(SHOWN_SECONDS + 1)
    assert take("erin") == "left"


def test_who_starts_again_says_that_the_life_before_has_ended(
    services: list[Service], postgresql: PostgreSql, postgresql_records: str
) -> None:
    _, again = opened = sql.open_shared_store(postgresql_records, "d" * 16, _end)
    services.append(opened)
    again.join("service1", "", "1", "b" * 16)
    with postgresql.connect(postgresql_records.rpartition("/")[2]) as server:
        dead = server.execute("SELECT id FROM members WHERE died").fetchall()
    assert dead == [("b" * 16,)]


def test_it_may_show_nothing_longer_than_that() -> None:
    closing = live_connections._UNSEEN_SECONDS + live_connections.PERIOD
    assert max(local_copy.GOOD_SECONDS, closing) < SHOWN_SECONDS - _TOLD_SECONDS
