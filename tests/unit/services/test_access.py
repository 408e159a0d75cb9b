"""Who may use collections and sees what in the feed, over real records and accounts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fakes.new_records import open_records
from openrdms import ports
from openrdms.model import errors
from openrdms.model.account import Role
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.publishing import Application
from openrdms.model.session_host import SessionCollection
from openrdms.security.accounts import Accounts, Change
from openrdms.services.access import Access, judge
from openrdms.services.publishing import Publishing

NOW = datetime(2026, 5, 4, tzinfo=UTC)


@dataclass(frozen=True)
class Office:
    """Ann is in sales, Bob in no group, Root administers; the farm has no descriptor yet."""

    store: ports.Store
    accounts: Accounts
    access: Access
    publishing: Publishing

    def let_in(self, *names: str) -> None:
        self.describe(self.access.make_descriptor(names))

    def describe(self, descriptor: str | None) -> None:
        self.store.change_collection(
            "farm", lambda one: replace(one, security_descriptor=descriptor)
        )

    def who_may(self) -> set[str]:
        names = ("ann", "bob", "root")
        return {name for name in names if self.access.may_use("FARM", self.get(name)).allowed}

    def sees(self, name: str) -> list[str]:
        feed = self.publishing.list_feed(self.get(name))
        return [one.application or one.title for one in feed.resources]

    def get(self, name: str):  # type: ignore[no-untyped-def]
        return self.access.get_person(name)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    store = open_records(tmp_path / "records.sqlite")
    accounts = Accounts(store, tmp_path / "nt-hashes", lambda: NOW)
    accounts.add("root", Role.ADMINISTRATOR)
    accounts.add("ann", Role.USER, groups=["Sales"])
    accounts.add("bob", Role.USER)
    store.create_collection(Collection("farm", "The farm", CollectionType.POOLED, is_managed=True))
    yield Office(store, accounts, Access(store, accounts), Publishing(store))
    store.close()


def test_without_a_descriptor_a_collection_is_for_administrators(office: Office) -> None:
    assert office.who_may() == {"root"}
    assert "administrators only" in office.access.may_use("farm", office.get("ann")).reason
    assert office.access.list_entries("farm") == []


def test_groups_accounts_and_sids_are_let_in(office: Office) -> None:
    office.let_in("SALES")
    assert office.who_may() == {"ann", "root"}
    office.let_in("Bob")
    assert office.who_may() == {"bob", "root"}
    office.let_in("everyone")
    assert office.who_may() == {"ann", "bob", "root"}
    office.let_in("S-1-5-11")
    assert office.who_may() == {"ann", "bob", "root"}
    with pytest.raises(errors.NotFound, match="Saels"):
        office.let_in("Saels")


def test_a_denial_that_comes_first_counts(office: Office) -> None:
    sid = office.accounts.get("ann").sid
    office.describe(f"D:(D;;GA;;;{sid})(A;;GA;;;S-1-1-0)")
    assert office.who_may() == {"bob", "root"}
    verdict = office.access.may_use("farm", office.get("ann"))
    assert verdict.reason == f"(D;;GA;;;{sid})"
    entries = office.access.list_entries("farm")
    assert [(entry.allow, entry.name) for entry in entries] == [(False, "ann"), (True, "Everyone")]
    office.describe("O:WDG:WD")
    assert office.who_may() == {"ann", "bob", "root"}
    assert [entry.name for entry in office.access.list_entries("farm")] == ["Everyone"]


def test_who_is_disabled_or_leaves_a_group_is_out_at_once(office: Office) -> None:
    office.let_in("Sales", "root")
    office.accounts.change("ann", Change(remove_groups=("sales",)))
    assert office.who_may() == {"root"}
    office.accounts.change("ann", Change(add_groups=("sales",)))
    assert office.who_may() == {"ann", "root"}
    office.accounts.change("ann", Change(enabled=False))
    assert office.who_may() == {"root"}
    assert office.access.may_use("farm", office.get("ann")).reason == "the account is disabled"
    office.describe("O:WDG:WD")
    assert office.who_may() == {"bob", "root"}


def test_session_collections_have_theirs_under_a_key(office: Office) -> None:
    office.store.create_session_collection(SessionCollection("rdsh", "Session hosts"))
    assert not office.access.may_use("rdsh", office.get("ann")).allowed
    descriptor = office.access.make_descriptor(["Sales"])
    office.store.set_session_collection_value("rdsh", "SecurityDescriptor", descriptor)
    assert office.access.may_use("RDSH", office.get("ann")).allowed
    assert not office.access.may_use("RDSH", office.get("bob")).allowed
    assert office.sees("ann") == ["Session hosts"]


def test_what_cannot_be_read_lets_only_administrators_in(office: Office) -> None:
    office.describe("as an older service has left it")
    assert office.who_may() == {"root"}
    assert office.sees("ann") == []
    assert office.sees("root") == ["The farm"]
    with pytest.raises(errors.InvalidOperation, match="SecurityDescriptor"):
        office.access.list_entries("farm")


def test_what_does_not_exist_is_not_found(office: Office) -> None:
    with pytest.raises(errors.NotFound):
        office.access.get_person("nobody")
    with pytest.raises(errors.NotFound):
        office.access.may_use("none", office.get("ann"))
    with pytest.raises(errors.NotFound):
        office.access.list_entries("none")


def test_users_see_what_they_may_open(office: Office) -> None:
    office.let_in("Everyone")
    for alias, descriptor, shown in (
        ("all", None, True),
        ("sales", office.access.make_descriptor(["Sales"]), True),
        ("hidden", None, False),
    ):
        application = Application("farm", alias, alias, "/x", "/x", shown, descriptor)
        office.publishing.publish(application)
    assert office.sees("ann") == ["all", "sales"]
    assert office.sees("bob") == ["all"]
    assert office.sees("root") == ["all", "sales"]
    everything = office.publishing.list_resources()
    assert [one.application for one in everything.resources] == ["all", "hidden", "sales"]
    assert everything.modified == max(one.modified for one in everything.resources)
    office.let_in("root")
    assert office.publishing.list_feed(office.get("ann")).resources == []
    assert office.publishing.list_feed(office.get("ann")).modified is None


def test_all_descriptors_must_allow(office: Office) -> None:
    ann = office.get("ann")
    everyone, nobody = "D:(A;;GA;;;S-1-1-0)", "D:"
    assert judge([everyone, everyone], ann).allowed
    for descriptors in ([everyone, nobody], [nobody, everyone], []):
        assert not judge(descriptors, ann).allowed
        assert judge(descriptors, office.get("root")).allowed
