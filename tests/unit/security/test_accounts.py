"""Accounts over real records: who may sign in, what is remembered, which NT hashes are kept."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path

import argon2
import pytest
from spnego._ntlm import _get_credential

from fakes.clock import StoppedClock
from openrdms.model import errors
from openrdms.model.account import Role
from openrdms.ports import Store
from openrdms.security import passwords
from openrdms.security.accounts import Accounts, Change

PASSWORD = "correct horse"
HERE = "192.0.2.1"
NT_HASH = "8846F7EAEE8FB117AD06BDD830B7586C"
"""Of "password", as published everywhere."""


class CountingHasher:
    """argon2 with the least that it takes, counted."""

    def __init__(self) -> None:
        self.verified = 0
        self._hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.memory_cost, self.time_cost, self.parallelism = 8, 1, 1
        self.hash = self._hasher.hash
        self.check_needs_rehash = self._hasher.check_needs_rehash

    def verify(self, password_hash: str, password: bytes) -> bool:
        self.verified += 1
        return self._hasher.verify(password_hash, password)


@pytest.fixture(autouse=True)
def hasher(monkeypatch: pytest.MonkeyPatch) -> CountingHasher:
    hasher = CountingHasher()
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    return hasher


@pytest.fixture
def accounts(store: Store, tmp_path: Path, clock: StoppedClock) -> Accounts:
    made = Accounts(store, tmp_path / "security" / "nt-hashes", clock)
    made.ensure_administrator("admin", "pw")
    made.add("Alice", Role.OPERATOR, groups=["Ops"], password=PASSWORD)
    return made


def reopen(accounts: Accounts, store: Store, clock: StoppedClock) -> Accounts:
    return Accounts(store, accounts.nt_hash_file, clock)


class TestSigningIn:
    def test_name_in_any_case_and_the_right_password(self, accounts: Accounts) -> None:
        found = accounts.verify("aLICE", PASSWORD, HERE)
        assert found is accounts.find("alice")
        assert found is not None
        assert (found.name, found.role, found.groups) == ("Alice", Role.OPERATOR, ("Ops",))

    @pytest.mark.parametrize(
        ("name", "password"),
        [("alice", "Correct horse"), ("alice", ""), ("bob", PASSWORD), ("", ""), ("", "\udc80")],
    )
    def test_anything_else_is_refused(self, accounts: Accounts, name: str, password: str) -> None:
        assert accounts.verify(name, password, HERE) is None

    def test_an_account_without_a_password_has_no_password(self, accounts: Accounts) -> None:
        accounts.add("alice@REALM", Role.HELPDESK)
        assert accounts.verify("alice@REALM", "", HERE) is None
        assert accounts.find("ALICE@realm") is not None

    def test_neither_password_nor_hash_is_shown(self, accounts: Accounts) -> None:
        account = accounts.get("alice")
        assert account.password_hash.startswith("$argon2id$")
        assert PASSWORD not in repr(account)
        assert "argon2" not in repr(account)

    def test_a_verified_password_is_not_paid_for_again(
        self, accounts: Accounts, hasher: CountingHasher, clock: StoppedClock
    ) -> None:
        assert accounts.verify("alice", PASSWORD, HERE)
        before = hasher.verified
        clock.move(passwords.REMEMBERED - timedelta(seconds=1))
        assert accounts.verify("ALICE", PASSWORD, HERE)
        assert accounts.recall("alice", PASSWORD, HERE) is accounts.get("alice")
        assert (
            accounts.recall("alice", "wrong", HERE)
            is accounts.recall("bob", PASSWORD, HERE)
            is None
        )
        assert hasher.verified == before
        clock.move(timedelta(seconds=1))
        assert accounts.verify("alice", PASSWORD, HERE)
        assert hasher.verified == before + 1

    def test_what_is_remembered_answers_no_guess_from_elsewhere(
        self, accounts: Accounts, hasher: CountingHasher
    ) -> None:
        assert accounts.verify("alice", PASSWORD, HERE)
        assert accounts.recall("alice", PASSWORD, "192.0.2.2") is None
        before = hasher.verified
        assert accounts.verify("alice", PASSWORD, "192.0.2.2")
        assert hasher.verified == before + 1

    def test_memory_is_bounded(self, accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(passwords, "MAX_REMEMBERED", 2)
        for number in range(3):
            assert accounts.verify("alice", PASSWORD, f"192.0.2.{number}")
        found = [accounts.recall("alice", PASSWORD, f"192.0.2.{number}") for number in range(3)]
        assert [account is not None for account in found] == [False, True, True]

    @pytest.mark.parametrize(
        ("change", "still"),
        [
            (Change(password="another one"), False),
            (Change(enabled=False), False),
            (Change(role=Role.AUDITOR), True),
        ],
    )
    def test_an_account_changed_while_its_password_is_checked(
        self,
        accounts: Accounts,
        hasher: CountingHasher,
        monkeypatch: pytest.MonkeyPatch,
        change: Change,
        still: bool,
    ) -> None:
        changes = [change]

        def check(password_hash: str, password: bytes) -> bool:
            right = CountingHasher.verify(hasher, password_hash, password)
            if changes:
                accounts.change("alice", changes.pop())
            return right

        monkeypatch.setattr(hasher, "verify", check)
        found = accounts.verify("alice", PASSWORD, HERE)
        assert (found is accounts.get("alice")) == still
        assert still or found is None

    def test_a_clock_that_goes_back_makes_nothing_last_longer(
        self, accounts: Accounts, hasher: CountingHasher, clock: StoppedClock
    ) -> None:
        assert accounts.verify("alice", PASSWORD, HERE)
        before = hasher.verified
        clock.move(timedelta(seconds=-1))
        assert accounts.verify("alice", PASSWORD, HERE)
        assert hasher.verified == before + 1

    def test_a_wrong_password_is_paid_for_whatever_is_remembered(
        self, accounts: Accounts, hasher: CountingHasher
    ) -> None:
        assert accounts.verify("alice", PASSWORD, HERE)
        before = hasher.verified
        assert accounts.verify("alice", "wrong", HERE) is None
        assert accounts.verify("nobody", PASSWORD, HERE) is None
        assert hasher.verified == before + 2

    @pytest.mark.parametrize(
        ("change", "still"),
        [
            (Change(enabled=False), False),
            (Change(password="another one"), False),
            (Change(role=Role.AUDITOR), True),
            (Change(add_groups=("New",)), True),
        ],
    )
    def test_a_change_drops_what_is_remembered(
        self, accounts: Accounts, hasher: CountingHasher, change: Change, still: bool
    ) -> None:
        assert accounts.verify("alice", PASSWORD, HERE)
        accounts.change("alice", change)
        before = hasher.verified
        assert (accounts.verify("alice", PASSWORD, HERE) is not None) == still
        assert hasher.verified == before + 1

    def test_a_removed_account_is_refused_at_once(self, accounts: Accounts) -> None:
        assert accounts.verify("alice", PASSWORD, HERE)
        accounts.remove("Alice")
        assert accounts.verify("alice", PASSWORD, HERE) is None
        accounts.add("alice", Role.USER, password="another one")
        assert accounts.verify("alice", PASSWORD, HERE) is None

    def test_connections_that_sign_in_together_pay_once(
        self, accounts: Accounts, hasher: CountingHasher, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def slow(password_hash: str, password: bytes) -> bool:
            time.sleep(0.1)
            return CountingHasher.verify(hasher, password_hash, password)

        monkeypatch.setattr(hasher, "verify", slow)
        before = hasher.verified
        threads = [
            threading.Thread(target=accounts.verify, args=("alice", PASSWORD, HERE))
            for _ in range(24)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert hasher.verified - before <= 2

    def test_a_hash_of_other_costs_is_made_anew(
        self, accounts: Accounts, hasher: CountingHasher, store: Store, clock: StoppedClock
    ) -> None:
        old = accounts.get("alice").password_hash
        hasher.check_needs_rehash = lambda text: text == old
        assert accounts.verify("alice", PASSWORD, HERE)
        new = accounts.get("alice").password_hash
        assert new != old
        assert reopen(accounts, store, clock).get("alice").password_hash == new
        assert accounts.verify("alice", PASSWORD, HERE)
        assert accounts.get("alice").password_hash == new


def test_an_unknown_name_takes_as_long_as_a_wrong_password(
    accounts: Accounts, store: Store, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # argon2 as it is
    real = Accounts(store, accounts.nt_hash_file, clock)
    real.change("alice", Change(password=PASSWORD))

    def took(name: str) -> float:
        begin = time.process_time()
        assert real.verify(name, "wrong", HERE) is None
        return time.process_time() - begin

    # Processor time, by turns: a machine that is busy is so for both.
    nobody, alice = zip(*((took("nobody"), took("alice")) for _ in range(8)), strict=True)
    assert 0.5 < min(nobody) / min(alice) < 2


class TestChanging:
    def test_changes_outlive_the_process(
        self, accounts: Accounts, store: Store, clock: StoppedClock
    ) -> None:
        clock.move(timedelta(hours=1))
        change = Change(Role.HELPDESK, ("Night", "OPS"), (), "another one", True, False)
        changed = accounts.change("alice", change)
        again = reopen(accounts, store, clock)
        assert again.list() == accounts.list()
        assert again.get("Alice") == changed
        assert changed.changed - changed.created == timedelta(hours=1)
        assert (changed.role, changed.groups) == (Role.HELPDESK, ("OPS", "Night"))

    def test_groups_come_and_go(self, accounts: Accounts) -> None:
        accounts.change("alice", Change(add_groups=("A", "B"), remove_groups=("ops", "a")))
        assert accounts.get("alice").groups == ("B",)
        with pytest.raises(errors.InvalidParameter, match="remove-group"):
            accounts.change("alice", Change(remove_groups=("C",)))
        with pytest.raises(errors.InvalidParameter, match="group"):
            accounts.change("alice", Change(add_groups=("",)))
        with pytest.raises(errors.AlreadyExists):
            accounts.change("alice", Change(add_groups=("admin",)))
        assert accounts.get("alice").groups == ("B",)

    def test_sids_are_those_of_account_groups_and_everybody(self, accounts: Accounts) -> None:
        own = accounts.get("alice").sid
        sids = accounts.find_sids("ALICE")
        assert sids >= {own, "S-1-1-0", "S-1-5-11"}
        assert len(sids) == 4
        accounts.add("bob", Role.USER, groups=["oPS"])
        assert len(sids & accounts.find_sids("bob")) == 3
        accounts.change("bob", Change(enabled=False))
        assert accounts.find_sids("bob") == accounts.find_sids("nobody") == frozenset()

    def test_a_sid_comes_back_with_its_name(self, accounts: Accounts) -> None:
        own = accounts.get("alice").sid
        accounts.remove("alice")
        accounts.add("bob", Role.USER)
        assert accounts.add("ALICE", Role.USER).sid == own

    def test_short_passwords_and_taken_names_are_refused(self, accounts: Accounts) -> None:
        with pytest.raises(errors.InvalidParameter, match="password"):
            accounts.add("bob", Role.USER, password="7 chars")
        with pytest.raises(errors.InvalidParameter, match="password"):
            accounts.change("alice", Change(password="7 chars"))
        with pytest.raises(errors.AlreadyExists):
            accounts.add("ALICE", Role.USER)
        with pytest.raises(errors.AlreadyExists):
            accounts.add("ops", Role.USER)
        for call in (accounts.get, accounts.remove, lambda name: accounts.change(name, Change())):
            with pytest.raises(errors.NotFound):
                call("bob")

    @pytest.mark.parametrize("change", [Change(role=Role.OPERATOR), Change(enabled=False)])
    def test_the_last_administrator_stays(self, accounts: Accounts, change: Change) -> None:
        with pytest.raises(errors.InvalidOperation, match="last enabled administrator"):
            accounts.change("admin", change)
        with pytest.raises(errors.InvalidOperation, match="last enabled administrator"):
            accounts.remove("admin")
        accounts.change("alice", Change(role=Role.ADMINISTRATOR))
        accounts.change("admin", change)
        with pytest.raises(errors.InvalidOperation, match="last enabled administrator"):
            accounts.remove("alice")

    def test_what_the_store_refuses_changes_nothing(
        self, accounts: Accounts, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object, **__: bool) -> None:
            raise errors.OperationFailed("disk full")

        before = accounts.get("alice")
        monkeypatch.setattr(store, "put_account", refuse)
        with pytest.raises(errors.OperationFailed):
            accounts.change("alice", Change(role=Role.ADMINISTRATOR, password="another one"))
        assert accounts.get("alice") is before
        assert accounts.verify("alice", PASSWORD, HERE) is before


class TestAnotherServiceThatChangesTheSame:
    """Its notices come late, or after it was asked what is on record."""

    @pytest.fixture
    def other(self, accounts: Accounts, store: Store, clock: StoppedClock) -> Accounts:
        return reopen(accounts, store, clock)

    def test_both_changes_stay(self, accounts: Accounts, other: Accounts) -> None:
        other.change("alice", Change(add_groups=("Night",)))
        accounts.change("alice", Change(role=Role.AUDITOR))
        found = accounts.get("alice")
        assert (found.groups, found.role) == (("Ops", "Night"), Role.AUDITOR)

    def test_what_it_has_removed_does_not_come_back(
        self, accounts: Accounts, other: Accounts, store: Store
    ) -> None:
        other.remove("alice")
        with pytest.raises(errors.NotFound):
            accounts.change("alice", Change(role=Role.AUDITOR))
        assert [account.name for account in store.list_accounts()] == ["admin"]

    @pytest.mark.parametrize("change", [Change(role=Role.USER), Change(enabled=False), None])
    def test_the_last_administrator_stays(
        self, accounts: Accounts, store: Store, clock: StoppedClock, change: Change | None
    ) -> None:
        accounts.change("alice", Change(role=Role.ADMINISTRATOR))
        reopen(accounts, store, clock).remove("admin")  # and no notice has come yet
        with pytest.raises(errors.InvalidOperation, match="'Alice' is the last enabled admin"):
            accounts.change("alice", change) if change else accounts.remove("alice")
        assert [account.role for account in store.list_accounts()] == [Role.ADMINISTRATOR]

    def test_a_name_is_given_once(self, accounts: Accounts, other: Accounts) -> None:
        made = other.add("bob", Role.USER, password=PASSWORD)
        with pytest.raises(errors.AlreadyExists):
            accounts.add("Bob", Role.ADMINISTRATOR)
        assert accounts.get("bob") == made

    def test_who_is_always_overtaken_gives_up(
        self, accounts: Accounts, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "put_account", lambda *_, **__: False)
        with pytest.raises(errors.OperationFailed, match="somebody else"):
            accounts.change("alice", Change(role=Role.AUDITOR))


class TestAdministratorOfTheCommandLine:
    def test_is_made_at_first_and_then_left_alone(
        self, accounts: Accounts, store: Store, clock: StoppedClock
    ) -> None:
        made = accounts.get("ADMIN")
        assert made.sid.endswith("-500")
        assert (made.role, made.enabled) == (Role.ADMINISTRATOR, True)
        clock.move(timedelta(days=1))
        assert reopen(accounts, store, clock).ensure_administrator("Admin", "pw") == made

    def test_is_brought_up_to_date(self, accounts: Accounts) -> None:
        accounts.change("alice", Change(role=Role.ADMINISTRATOR))
        accounts.change("admin", Change(role=Role.USER, enabled=False))
        accounts.ensure_administrator("admin", "new")
        assert accounts.verify("admin", "pw", HERE) is None
        found = accounts.verify("admin", "new", HERE)
        assert found is not None
        assert found.role is Role.ADMINISTRATOR

    def test_another_name_takes_its_place(self, accounts: Accounts) -> None:
        accounts.ensure_administrator("root", "pw")
        assert accounts.verify("root", "pw", HERE)
        assert accounts.verify("admin", "pw", HERE) is None
        assert not accounts.get("admin").enabled
        assert accounts.get("root").sid.endswith("-1002")
        accounts.ensure_administrator("admin", "pw")
        assert [account.enabled for account in accounts.list()] == [True, True, False]

    def test_an_ordinary_account_is_not_taken_over(self, accounts: Accounts) -> None:
        with pytest.raises(errors.AlreadyExists, match="made by `rdms user`"):
            accounts.ensure_administrator("alice", PASSWORD)
        assert accounts.get("alice").role is Role.OPERATOR
        assert accounts.get("admin").enabled

    def test_its_password_is_only_in_the_options(self, accounts: Accounts) -> None:
        with pytest.raises(errors.InvalidOperation, match="options"):
            accounts.change("admin", Change(password="another one"))
        accounts.change("admin", Change(ntlm=True))
        assert accounts.verify("admin", "pw", HERE)
        assert accounts.has_nt_hash("admin")

    def test_a_name_that_cannot_sign_in_is_refused(self, accounts: Accounts) -> None:
        with pytest.raises(errors.InvalidParameter, match="admin-user"):
            accounts.ensure_administrator("a:b", "pw")


class TestNtHashes:
    def read(self, accounts: Accounts, name: str) -> str:
        """What pyspnego finds."""
        return _get_credential(str(accounts.nt_hash_file), None, name)[3].hex().upper()

    def test_none_is_kept_without_being_allowed(self, accounts: Accounts) -> None:
        assert accounts.verify("alice", PASSWORD, HERE)
        assert not accounts.has_nt_hashes()
        assert not accounts.nt_hash_file.exists()

    def test_pyspnego_reads_it_and_nobody_else_can(self, accounts: Accounts) -> None:
        accounts.change("alice", Change(ntlm=True, password="password"))
        assert accounts.has_nt_hashes()
        assert accounts.has_nt_hash("ALICE")
        assert self.read(accounts, "alice") == NT_HASH
        assert accounts.nt_hash_file.stat().st_mode & 0o777 == 0o600
        assert "password" not in accounts.nt_hash_file.read_text()

    @pytest.mark.parametrize("name", ["ünicode", "alice@REALM", "two words"])
    def test_only_for_names_that_are_written_in_one_way(
        self, accounts: Accounts, name: str
    ) -> None:
        accounts.add(name, Role.USER, password="password")
        with pytest.raises(errors.InvalidParameter, match="ntlm"):
            accounts.change(name, Change(ntlm=True))

    def test_a_verified_password_brings_it(self, accounts: Accounts) -> None:
        accounts.change("alice", Change(ntlm=True))
        assert not accounts.has_nt_hash("alice")
        assert accounts.verify("alice", "wrong", HERE) is None
        assert not accounts.has_nt_hashes()
        assert accounts.verify("alice", PASSWORD, HERE)
        assert accounts.has_nt_hash("alice")

    @pytest.mark.parametrize("change", [Change(ntlm=False), Change(enabled=False), None])
    def test_it_goes_at_once_with_its_permission(
        self, accounts: Accounts, change: Change | None
    ) -> None:
        accounts.add("bob", Role.USER, password=PASSWORD)
        for name in ("alice", "bob"):
            accounts.change(name, Change(ntlm=True, password="password"))
        if change:
            accounts.change("alice", change)
        else:
            accounts.remove("alice")
        assert [line.split(":")[0] for line in accounts.nt_hash_file.read_text().split()] == ["bob"]

    def test_a_new_password_has_a_new_hash(self, accounts: Accounts) -> None:
        accounts.change("alice", Change(ntlm=True, password="another one"))
        old = self.read(accounts, "alice")
        accounts.change("alice", Change(password="password"))
        assert self.read(accounts, "alice") == NT_HASH != old
        accounts.change("alice", Change(role=Role.AUDITOR))
        assert self.read(accounts, "alice") == NT_HASH

    def test_it_outlives_the_process_but_not_its_permission(
        self, accounts: Accounts, store: Store, clock: StoppedClock
    ) -> None:
        accounts.change("alice", Change(ntlm=True, password="password"))
        file = accounts.nt_hash_file
        stranger = f"mallory:0:{'0' * 32}:{NT_HASH}:[U]:LCT-0\nnonsense\n"
        file.write_text(file.read_text() + stranger)
        again = reopen(accounts, store, clock)
        assert self.read(again, "alice") == NT_HASH
        assert "mallory" not in file.read_text()

    def test_no_hash_outlives_a_store_that_fails(
        self, accounts: Accounts, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        accounts.change("alice", Change(ntlm=True, password="password"))

        def die(*_: object, **__: bool) -> None:
            raise errors.OperationFailed("killed here")

        monkeypatch.setattr(store, "put_account", die)
        with pytest.raises(errors.OperationFailed):
            accounts.change("alice", Change(enabled=False))
        assert not accounts.has_nt_hashes()
