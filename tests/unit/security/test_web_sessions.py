"""Sessions of browsers while the records are away."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import StoppedClock
from fakes.leaving_records import LeavingRecords
from fakes.new_records import open_records
from openrdms import ports
from openrdms.model import errors
from openrdms.model.account import Role
from openrdms.model.web_session import IDLE
from openrdms.security.accounts import Accounts, Change
from openrdms.security.audit_log import AuditLog
from openrdms.security.late_records import LateRecords
from openrdms.security.web_sessions import SIGNED_IN, WebSessions

ADDRESS = "203.0.113.5"


class World:
    def __init__(self, store: ports.Store, place: Path) -> None:
        self.clock = StoppedClock()
        self.store = store
        self.records: Any = LeavingRecords(store)
        self.accounts = Accounts(self.records, place / "nt-hashes", self.clock)
        self.accounts.add("olga", Role.ADMINISTRATOR)
        self.accounts.add("ann", Role.USER, password="quite a long password")
        self.audit_log = AuditLog(self.records, place / "audit-head", self.clock)
        self.late = LateRecords(self.audit_log, place / "late", self.clock)
        self.sessions = WebSessions(self.records, self.accounts, self.clock, self.late.note)
        self.accounts.subscribe(self.sessions.seen.note_change)

    def sign_in(self) -> str:
        return self.sessions.begin(self.accounts.get("ann"), ADDRESS)[0]

    def who(self, secret: str) -> str | None:
        found = self.sessions.find(secret)
        return found[1].name if found else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(open_records(tmp_path / "records.sqlite"), tmp_path)


def test_one_that_was_seen_goes_on(world: World) -> None:
    seen, unseen = world.sign_in(), world.sign_in()
    assert world.who(seen) == "ann"
    world.records.away = True
    world.clock.move(timedelta(minutes=2))  # its use is to be noted, and cannot be
    assert world.who(seen) == "ann"
    for unknown in (unseen, "nonsense"):
        with pytest.raises(errors.RecordsUnavailable):
            world.who(unknown)
    world.clock.move(IDLE)
    assert world.who(seen) is None


def test_one_that_may_have_ended_does_not(world: World) -> None:
    seen = world.sign_in()
    assert world.who(seen) == "ann"
    world.sessions.seen.note_change("ANN")
    world.records.away = True
    with pytest.raises(errors.RecordsUnavailable):
        world.who(seen)


def test_a_new_password_ends_it(world: World) -> None:
    seen = world.sign_in()
    assert world.who(seen) == "ann"
    world.accounts.change("ann", Change(password="another long password"))
    world.records.away = True
    with pytest.raises(errors.RecordsUnavailable):
        world.who(seen)


def test_one_that_begins_becomes_a_record_and_is_on_record(world: World) -> None:
    world.records.away = True
    secret = world.sign_in()
    assert world.who(secret) == "ann"
    with pytest.raises(errors.RecordsUnavailable):
        world.late.write()
    world.records.away = False
    seen: list[str | None] = []
    world.accounts.subscribe(lambda _name: seen.append(world.who(secret)))  # as open displays do
    assert world.who(secret) == "ann"
    assert seen == ["ann"]
    other = WebSessions(world.store, world.accounts, world.clock)
    assert other.find(secret)
    world.late.write()
    world.late.write()
    [told] = [one for one in world.store.list_audit(0) if one.what == SIGNED_IN]
    assert (told.who, told.address) == ("ann", ADDRESS)
    assert told.parameters == {"at": "2026-03-01T12:00:00.000+00:00"}


def test_one_that_begins_ends_when_records_say_otherwise(world: World) -> None:
    world.records.away = True
    secret = world.sign_in()
    ann = world.accounts.get("ann")
    assert world.store.put_account(replace(ann, enabled=False), ann)
    world.records.away = False
    assert world.who(secret) is None


def test_signing_out_ends_it_here_at_once(world: World) -> None:
    seen = world.sign_in()
    found = world.sessions.find(seen)
    assert found
    world.records.away = True
    with pytest.raises(errors.RecordsUnavailable):
        world.sessions.end(found[0])
    with pytest.raises(errors.RecordsUnavailable):
        world.who(seen)


def test_nothing_goes_on_where_records_are_never_away(world: World) -> None:
    alone = WebSessions(world.records, world.accounts, world.clock)
    secret, _ = alone.begin(world.accounts.get("ann"), ADDRESS)
    assert alone.find(secret)
    world.records.away = True
    for ask in (
        lambda: alone.find(secret),
        lambda: alone.begin(world.accounts.get("ann"), ADDRESS),
    ):
        with pytest.raises(errors.RecordsUnavailable):
            ask()


def test_half_a_line_is_of_nobody(world: World, tmp_path: Path) -> None:
    world.late.note("ann", ADDRESS, SIGNED_IN)
    with (tmp_path / "late").open("a") as file:
        file.write('["bob", "')
    world.late.write()
    told = [one.who for one in world.store.list_audit(0) if one.what == SIGNED_IN]
    assert (told, (tmp_path / "late").exists()) == (["ann"], False)


def test_who_could_not_be_kept_does_not_take_the_next_one_along(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
        with pytest.raises(errors.OperationFailed, match="No space left"):
            world.late.note("bob", ADDRESS, SIGNED_IN)
    world.late.note("ann", ADDRESS, SIGNED_IN)
    world.late.write()
    assert [one.who for one in world.store.list_audit(0) if one.what == SIGNED_IN] == ["ann"]


def test_one_that_is_passing_ends_when_records_are_back(world: World) -> None:
    world.records.away = True
    ann = world.accounts.get("ann")
    secret, session = world.sessions.begin(ann, ADDRESS, is_passing=True)
    lasting = world.sign_in()
    assert (world.who(secret), world.who(lasting)) == ("ann", "ann")
    world.clock.move(timedelta(seconds=76))
    assert (world.who(secret), world.who(lasting)) == (None, "ann")
    secret, session = world.sessions.begin(ann, ADDRESS, is_passing=True)
    world.records.away = False
    assert world.sessions.look(session) is None
    assert (world.who(secret), world.who(lasting)) == (None, "ann")


def test_who_signs_in_at_the_same_moment_does_not_make_it_last(world: World) -> None:
    ann, others = world.accounts.get("ann"), ["olga"]

    def note(who: str, address: str, what: str) -> None:
        if others:
            sessions.begin(world.accounts.get(others.pop()), ADDRESS)
        world.late.note(who, address, what)

    sessions = WebSessions(world.records, world.accounts, world.clock, note)
    world.records.away = True
    _, passing = sessions.begin(ann, ADDRESS, is_passing=True)
    assert sessions.look(passing) == ann
    world.records.away = False
    assert sessions.look(passing) is None
