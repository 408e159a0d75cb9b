"""Lines that are on record are those in memory, whichever of the services is asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from live.postgresql import PostgreSql
from openrdms.adapters import sql
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.waiting import renew_places
from openrdms.model.waiting_line import LAPSE_SECONDS
from openrdms.ports import Store
from openrdms.services.waiting_lines import LinesInMemory

STEPS = [
    ("ask", "ann"),
    ("ask", "Bob"),
    ("leave", "eve"),
    ("ask", "eve"),
    ("keep", "BOB"),
    ("ask", "ANN"),
    ("leave", "ann"),
    ("keep", "ann"),
    ("ask", "ann"),
    ("leave", "bob"),
    ("ask", "zoe"),
]


@pytest.fixture
def stores(postgresql_records: str) -> Iterator[list[Store]]:
    opened = [sql.open_store(postgresql_records, letter * 16) for letter in "ab"]
    yield opened
    for store in opened:
        store.close()


def test_first_come_first_served_at_all_services(stores: list[Store]) -> None:
    memory = LinesInMemory()
    for number, (step, who) in enumerate(STEPS):
        one, other = stores[number % 2], stores[1 - number % 2]
        if step == "ask":
            asked, expected = one.ask_place("Pool", who), memory.ask_place("Pool", who)
            assert (asked.position, asked.is_new) == (expected.position, expected.is_new)
        elif step == "keep":
            one.keep_places(who)
            memory.keep_places(who)
        else:
            one.leave_place("POOL", who)
            memory.leave_place("POOL", who)
        assert other.count_places("pool") == memory.count_places("pool")
        assert other.find_first("pool") == memory.find_first("pool")
        for person in ("Ann", "bob", "eve", "zoe"):
            found, known = other.find_place("pool", person), memory.find_place("pool", person)
            assert (found and found.position) == (known and known.position)
    assert stores[0].count_places("other") == 0
    assert stores[0].find_first("other") is None


def test_a_place_lapses(
    stores: list[Store], postgresql: PostgreSql, postgresql_records: str
) -> None:
    for name in ("ann", "bob"):
        stores[0].ask_place("pool", name)
    with postgresql.connect(postgresql_records.rpartition("/")[2]) as server:
        long_ago = f"statement_timestamp() - interval '{LAPSE_SECONDS + 1} s'"
        server.execute(
            f"UPDATE waiting SET since = {long_ago}, asked = {long_ago} WHERE holder = 'ann'"
        )
    stores[0].keep_places("ann")
    assert stores[1].find_place("pool", "ann") is None
    assert stores[1].find_first("pool") == "bob"
    again = stores[1].ask_place("pool", "ann")
    assert (again.position, again.is_new) == (2, True)
    assert again.waited < LAPSE_SECONDS


def test_nobody_loses_his_place_while_the_server_is_away(
    stores: list[Store], postgresql_records: str
) -> None:
    for name in ("eve", "ann", "bob"):
        stores[0].ask_place("pool", name)
    database = Database(postgresql_records)
    with database.write() as connection:
        for name, more in (("eve", 40), ("ann", 10)):
            seconds = LAPSE_SECONDS + more
            gone = sa.text(
                f"UPDATE waiting SET since = since - interval '{seconds} s',"
                f" asked = asked - interval '{seconds} s' WHERE holder = '{name}'"
            )
            connection.execute(gone)
        renew_places(connection, 30.0)
    database.close()
    assert stores[1].find_first("pool") == "ann"
    again = stores[1].ask_place("pool", "ann")
    assert (again.position, again.is_new) == (1, False)
    assert stores[1].count_places("pool") == 2


def test_those_who_come_at_once_agree_on_their_order(stores: list[Store]) -> None:
    together = threading.Barrier(8)

    def ask(number: int) -> None:
        together.wait()
        stores[number % 2].ask_place("pool", f"user{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(ask, range(8)))
    places = []
    for store in stores:
        found = [store.find_place("pool", f"user{number}") for number in range(8)]
        places.append([place.position for place in found if place])
    assert places[0] == places[1]
    assert sorted(places[0]) == [*range(1, 9)]
