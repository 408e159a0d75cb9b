"""Accounts of a directory: whose they are, how long they hold, and what nobody may take over."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.clock import StoppedClock
from fakes.directory import FakeDirectory
from fakes.leaving_records import LeavingRecords
from openrdms.model import errors
from openrdms.model.account import Role
from openrdms.model.directory import DirectoryGroup, DirectoryUser
from openrdms.model.web_session import Scope
from openrdms.ports import Store
from openrdms.security.accounts import Accounts, Change
from openrdms.security.api_tokens import ApiTokens
from openrdms.security.audit_log import AuditLog
from openrdms.security.credentials import Credentials
from openrdms.security.directory_accounts import TRUST, Adopting, DirectoryAccounts
from openrdms.security.totp import SecondFactors
from openrdms.security.web_sessions import WebSessions

HERE = "192.0.2.1"
OPERATORS = DirectoryGroup("cn=ops,dc=x", "ops", "g-1", "S-1-5-21-7-7-7-1104")
PEOPLE = DirectoryGroup("cn=people,dc=x", "people", "g-2")
ANN = DirectoryUser("Ann", "u-1", groups=(PEOPLE,))


@pytest.fixture
def directory() -> FakeDirectory:
    return FakeDirectory(ANN)


@pytest.fixture
def people(
    accounts: Accounts, directory: FakeDirectory, store: Store, tmp_path: Path, clock: StoppedClock
) -> DirectoryAccounts:
    log = AuditLog(store, tmp_path / "audit-head", clock)
    roles = {Role.OPERATOR: frozenset([OPERATORS.key])}
    return DirectoryAccounts(Adopting(accounts, log, "corp", roles, TRUST), directory)


@pytest.fixture
def credentials(
    accounts: Accounts, people: DirectoryAccounts, store: Store, tmp_path: Path, clock: StoppedClock
) -> Credentials:
    tokens = ApiTokens(store, accounts, clock)
    return Credentials(
        accounts, tokens, SecondFactors(store, accounts, tmp_path / "key", clock), people
    )


def test_an_account_is_made_at_the_first_sign_in(
    credentials: Credentials, accounts: Accounts, store: Store
) -> None:
    made = credentials.check("ann", "theirs", HERE)
    assert made is not None
    assert (made.name, made.role, made.source, made.external_id) == (
        "Ann",
        Role.USER,
        "corp",
        "u-1",
    )
    assert made.directory_groups == ("corp\\people",)
    assert accounts.find_sids("ann") >= {made.sid, *made.directory_sids}
    assert store.group_sid("people") not in accounts.find_sids("ann")


def test_what_the_directory_says_holds_at_each_sign_in(
    credentials: Credentials, directory: FakeDirectory, accounts: Accounts
) -> None:
    credentials.check("ann", "theirs", HERE)
    directory.users["ann"] = replace(ANN, groups=(OPERATORS,))
    again = credentials.check("ann", "theirs", HERE)
    assert again is not None
    assert again.role is Role.OPERATOR
    assert OPERATORS.sid in accounts.find_sids("ann")
    assert again.directory_groups == ("corp\\ops",)


def test_who_was_seen_before_is_let_in_while_the_records_are_away(
    store: Store, directory: FakeDirectory, tmp_path: Path, clock: StoppedClock
) -> None:
    records: Any = LeavingRecords(store)
    accounts = Accounts(records, tmp_path / "nt-hashes", clock)
    log = AuditLog(records, tmp_path / "audit-head", clock)
    people = DirectoryAccounts(Adopting(accounts, log, "corp", {}, TRUST), directory)
    directory.users["bob"] = replace(ANN, name="Bob", external_id="u-2")
    for name in ("ann", "bob"):
        people.verify(name, "theirs", HERE)
    directory.users["bob"] = replace(directory.users["bob"], groups=())
    directory.users["new"] = replace(ANN, name="New", external_id="u-3")
    records.away = True
    again = people.verify("ann", "theirs", HERE)
    assert again is not None
    assert again == accounts.get("ann")
    assert people.verify("ann", "wrong", HERE) is None
    for other in ("bob", "new"):  # another than he was, and nobody whom we know
        with pytest.raises(errors.RecordsUnavailable):
            people.verify(other, "theirs", HERE)
    assert accounts.get("bob").directory_groups == ("corp\\people",)
    clock.move(TRUST + timedelta(seconds=1))
    with pytest.raises(errors.RecordsUnavailable):
        people.verify("ann", "theirs", HERE)
    records.away = False
    assert people.verify("ann", "theirs", HERE)


@pytest.mark.parametrize("password", ["wrong", "", "Theirs"])
def test_a_wrong_password(credentials: Credentials, accounts: Accounts, password: str) -> None:
    assert credentials.check("ann", password, HERE) is None
    assert accounts.list() == []


def test_nobody_asks_the_directory_for_a_name_of_ours(
    credentials: Credentials, directory: FakeDirectory, accounts: Accounts
) -> None:
    accounts.add("ANN", Role.ADMINISTRATOR, password="ours is longer")
    assert credentials.check("ann", "theirs", HERE) is None
    assert directory.asked == []


def test_a_name_is_never_given_on(
    credentials: Credentials, directory: FakeDirectory, accounts: Accounts
) -> None:
    first = credentials.check("ann", "theirs", HERE)
    directory.users["ann"] = replace(ANN, external_id="u-2")  # another person of that name
    with pytest.raises(errors.AccessDenied):
        credentials.check("ann", "theirs", HERE)
    assert accounts.list() == [first]
    directory.users = {"anna": replace(ANN, name="Anna")}  # the same person, renamed
    with pytest.raises(errors.AccessDenied):
        credentials.check("anna", "theirs", HERE)


def test_a_sid_is_never_given_on(
    credentials: Credentials, directory: FakeDirectory, accounts: Accounts
) -> None:
    ours = accounts.add("ann", Role.USER).sid
    accounts.add("root", Role.ADMINISTRATOR)
    accounts.remove("ann")
    theirs = credentials.check("ann", "theirs", HERE)
    accounts.remove("ann")
    directory.users["ann"] = replace(ANN, external_id="u-2")
    others = credentials.check("ann", "theirs", HERE)
    assert theirs
    assert others
    assert len({ours, theirs.sid, others.sid}) == 3


def test_an_administrator_may_disable_it_here(
    credentials: Credentials, people: DirectoryAccounts, accounts: Accounts
) -> None:
    accounts.add("root", Role.ADMINISTRATOR)
    credentials.check("ann", "theirs", HERE)
    accounts.change("ann", Change(enabled=False))
    assert credentials.check("ann", "theirs", HERE) is None
    people.look_again()
    assert accounts.find("ann") is None


@pytest.mark.parametrize(
    "change", [Change(role=Role.ADMINISTRATOR), Change(password="a new one"), Change(ntlm=True)]
)
def test_nobody_here_changes_what_the_directory_says(
    credentials: Credentials, accounts: Accounts, change: Change
) -> None:
    accounts.add("root", Role.ADMINISTRATOR)
    credentials.check("ann", "theirs", HERE)
    with pytest.raises(errors.InvalidOperation):
        accounts.change("ann", change)


def test_who_has_left_is_nobody_at_the_next_look(
    credentials: Credentials,
    people: DirectoryAccounts,
    directory: FakeDirectory,
    accounts: Accounts,
    store: Store,
    clock: StoppedClock,
) -> None:
    account = credentials.check("ann", "theirs", HERE)
    assert account
    sessions = WebSessions(store, accounts, clock)
    secret, _ = sessions.begin(account, HERE)
    told: list[str] = []
    accounts.subscribe(told.append)
    directory.users = {}
    people.look_again()
    assert told == ["Ann"]
    assert sessions.find(secret) is None
    assert accounts.find_sids("ann") == frozenset()
    directory.users = {"ann": ANN}
    people.look_again()
    assert sessions.find(secret) is not None


def test_while_the_directory_is_away_accounts_hold_for_half_an_hour(
    credentials: Credentials,
    people: DirectoryAccounts,
    directory: FakeDirectory,
    accounts: Accounts,
    clock: StoppedClock,
) -> None:
    credentials.check("ann", "theirs", HERE)
    directory.is_away = True
    clock.move(TRUST)
    with pytest.raises(errors.DirectoryUnavailable):
        people.look_again()
    assert accounts.find("ann") is not None
    clock.move(timedelta(seconds=1))
    assert accounts.find("ann") is None
    directory.is_away = False
    people.look_again()
    assert accounts.find("ann") is not None


def test_what_was_confirmed_outlives_the_service(
    credentials: Credentials, store: Store, tmp_path: Path, clock: StoppedClock
) -> None:
    credentials.check("ann", "theirs", HERE)
    again = Accounts(store, tmp_path / "nt-hashes", clock)
    assert again.find("ann") is None  # nobody has said that this directory counts
    again.trust("corp", TRUST)
    assert again.find("ann") is not None


def test_its_tokens_need_an_end(
    credentials: Credentials, accounts: Accounts, store: Store, clock: StoppedClock
) -> None:
    credentials.check("ann", "theirs", HERE)
    tokens = ApiTokens(store, accounts, clock)
    with pytest.raises(errors.InvalidParameter):
        tokens.make("ann", "for ever", [Scope.CONNECT], None)
    secret, _ = tokens.make("ann", "a day", [Scope.CONNECT], clock() + timedelta(days=1))
    scopes = frozenset({Scope.CONNECT})
    assert credentials.check_alone("ann", secret, HERE, scopes) is not None
    clock.move(TRUST + timedelta(seconds=1))
    assert credentials.check_alone("ann", secret, HERE, scopes) is None
