"""What services share: keys made of one file, secrets that the records cannot tell."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import StoppedClock
from openrdms.model.account import Role
from openrdms.model.directory import DirectoryUser
from openrdms.model.errors import (
    AlreadyExists,
    InvalidParameter,
    NotFound,
    OperationFailed,
    RecordsUnavailable,
)
from openrdms.ports import Store
from openrdms.security import accounts as accounts_module
from openrdms.security.accounts import Accounts, Change
from openrdms.security.nt_hashes import NtHashes
from openrdms.security.shared_key import AUDIT_KEY, TOTP_KEY, SharedKey, make_key
from openrdms.security.totp import SecondFactors


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    make_key(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def shared(key_file: Path, store: Store) -> SharedKey:
    return SharedKey(key_file, store)


def test_a_key_is_its_owners_alone_and_stays(key_file: Path) -> None:
    before = key_file.read_text()
    assert key_file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AlreadyExists):
        make_key(key_file)
    assert key_file.read_text() == before


@pytest.mark.parametrize("text", ["", "zz", "00" * 31, "00" * 33, "\u00e9"])
def test_what_is_no_key_is_refused(tmp_path: Path, store: Store, text: str) -> None:
    file = tmp_path / "other"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidParameter, match="shared-key"):
        SharedKey(file, store)


def test_all_services_make_the_same_keys_of_it(key_file: Path, store: Store) -> None:
    one, two = SharedKey(key_file, store), SharedKey(key_file, store)
    assert one.audit_key == two.audit_key
    assert one.totp_key == two.totp_key
    assert one.audit_key not in (one.totp_key, bytes.fromhex(key_file.read_text()))


def test_another_key_than_that_of_the_others_is_refused(
    shared: SharedKey, store: Store, tmp_path: Path
) -> None:
    make_key(tmp_path / "another")
    with pytest.raises(InvalidParameter, match="another key than that of the services"):
        SharedKey(tmp_path / "another", store)


def test_keys_that_were_brought_along_go_before_made_ones(shared: SharedKey) -> None:
    shared.put(AUDIT_KEY, b"of the chain so far")
    shared.put(TOTP_KEY, b"of the devices so far")
    assert shared.audit_key == b"of the chain so far"
    assert shared.totp_key == b"of the devices so far"


class SecretsInMemory:
    """ports.SecretStore."""

    def __init__(self) -> None:
        self.sealed: dict[str, str] = {}
        self.asked: list[str] = []

    def add_secret(self, name: str, sealed: str) -> str:
        return self.sealed.setdefault(name, sealed)

    def put_secret(self, name: str, sealed: str, account: str = "") -> None:
        self.sealed[name] = sealed

    def find_secrets(self, prefix: str) -> dict[str, str]:
        self.asked.append(prefix)
        return {name: one for name, one in self.sealed.items() if name.startswith(prefix)}

    def delete_secret(self, name: str, account: str = "") -> None:
        self.sealed.pop(name, None)


@given(secret=st.binary(max_size=100), at=st.integers(0, 10_000), other=st.text(max_size=5))
def test_a_secret_comes_back_under_its_name_alone_and_unchanged(
    secret: bytes, at: int, other: str, key_at: Path
) -> None:
    store = SecretsInMemory()
    shared = SharedKey(key_at, store)
    shared.put("a", secret)
    assert shared.find("a") == secret
    sealed = store.sealed["a"]
    octets = bytearray(base64.b64decode(sealed))
    octets[at % len(octets)] ^= 1
    for name, text in (
        ("a" + other + "b", sealed),
        ("a", base64.b64encode(octets).decode()),
        ("a", sealed[: at % len(sealed)]),
        ("a", other),
    ):
        store.sealed = {name: text}
        with pytest.raises(OperationFailed):
            shared.list("a")


@pytest.fixture(scope="module")
def key_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "key"
    make_key(file)
    return file


class TestAccounts:
    @pytest.fixture
    def services(
        self, shared: SharedKey, store: Store, tmp_path: Path
    ) -> tuple[Accounts, Accounts]:
        """Neither is told what the other one does."""
        one, two = (
            Accounts(store, tmp_path / name, StoppedClock(), shared) for name in ("one", "two")
        )
        one.add("root", Role.ADMINISTRATOR)
        one.add("ann", Role.OPERATOR, password="correct horse")
        two.refresh()
        return one, two

    def test_what_one_service_changes_another_one_does_not_undo(
        self, services: tuple[Accounts, Accounts]
    ) -> None:
        one, two = services
        one.change("ann", Change(enabled=False))
        changed = two.change("ann", Change(add_groups=("ops",)))
        assert (changed.enabled, changed.groups) == (False, ("ops",))
        one.remove("ann")
        with pytest.raises(NotFound):
            two.change("ann", Change(enabled=True))
        one.add("ann", Role.USER)
        with pytest.raises(AlreadyExists):
            two.add("ANN", Role.ADMINISTRATOR)

    def test_a_directory_does_not_undo_it_either(self, services: tuple[Accounts, Accounts]) -> None:
        one, two = services
        ben = DirectoryUser("ben", "u-2")
        sid = one.adopt("corp", ben, Role.USER).sid
        assert two.adopt("corp", ben, Role.USER).sid == sid
        one.change("ben", Change(enabled=False))
        two.readopt("corp", [(ben, Role.OPERATOR)])
        ben_now = two.get("ben")
        assert (ben_now.enabled, ben_now.role) == (False, Role.OPERATOR)

    def test_nobody_is_withdrawn_because_the_records_were_away(
        self, services: tuple[Accounts, Accounts], store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, _ = services
        ben = DirectoryUser("ben", "u-2")
        one.trust("corp", timedelta(hours=1))
        one.adopt("corp", ben, Role.USER)

        def refuse(_names: object = None) -> NoReturn:
            raise RecordsUnavailable("records: the database does not answer; try again")

        monkeypatch.setattr(store, "list_accounts", refuse)
        with pytest.raises(RecordsUnavailable):
            one.readopt("corp", [(ben, Role.OPERATOR)])
        assert one.find("ben")

    def test_a_hash_that_is_made_anew_does_not_undo_it_either(
        self, services: tuple[Accounts, Accounts], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, two = services
        one.change("ann", Change(enabled=False))
        monkeypatch.setattr(accounts_module, "is_outdated", bool)
        assert two.verify("ann", "correct horse", "192.0.2.1") is None
        assert not two.get("ann").enabled

    def test_a_secret_is_asked_for_only_of_who_may_have_one(
        self, key_file: Path, store: Store, tmp_path: Path
    ) -> None:
        secrets = SecretsInMemory()
        accounts = Accounts(store, tmp_path / "one", StoppedClock(), SharedKey(key_file, secrets))
        accounts.add("root", Role.ADMINISTRATOR)
        accounts.add("ann", Role.USER)
        accounts.change("ann", Change(ntlm=True, password="correct horse"))
        secrets.asked.clear()
        accounts.refresh(["root", "ann"])
        assert secrets.asked == ["nt-hash/ann"]


class TestNtHashes:
    def test_follow_an_account_from_service_to_service(
        self, shared: SharedKey, store: Store, tmp_path: Path
    ) -> None:
        clock = StoppedClock()
        one = Accounts(store, tmp_path / "one", clock, shared)
        one.add("ann", Role.ADMINISTRATOR, password="correct horse battery")
        one.change("ann", Change(ntlm=True, password="battery horse correct"))
        two = Accounts(store, tmp_path / "two", clock, shared)
        assert two.has_nt_hash("ann")
        assert (tmp_path / "two").read_text() == (tmp_path / "one").read_text()

    def test_are_in_the_records_sealed_only(
        self, shared: SharedKey, store: Store, tmp_path: Path
    ) -> None:
        hashes = NtHashes(tmp_path / "hashes", shared)
        hashes.put("ann", "password")
        digest = hashes.file.read_text().split(":")[3]
        assert len(digest) == 32
        assert shared.find("nt-hash/ann") == digest.encode()
        assert digest.lower() not in store.find_secrets("")["nt-hash/ann"].lower()

    def test_that_another_service_changed_are_read_anew(
        self, shared: SharedKey, tmp_path: Path
    ) -> None:
        one, two = (NtHashes(tmp_path / name, shared) for name in ("one", "two"))
        for change in (
            lambda: one.put("ann", "first"),
            lambda: one.put("ann", "second"),
            lambda: one.put("bob", "third"),
        ):
            change()
            two.reread("ann")
        assert "ann" in two
        assert "bob" not in two
        assert two.file.read_text() == one.file.read_text().splitlines(keepends=True)[0]
        one.drop("ann")
        two.reread("ann")
        assert not two
        assert not two.file.exists()

    def test_that_were_dropped_while_a_service_was_down_are_gone_from_its_file(
        self, shared: SharedKey, tmp_path: Path
    ) -> None:
        one, two = (NtHashes(tmp_path / name, shared) for name in ("one", "two"))
        one.put("ann", "password")
        two.keep(["ann"])
        one.drop("ann")
        again = NtHashes(tmp_path / "two", shared)
        again.keep(["ann"])
        assert not again.file.exists()


def test_a_device_that_was_set_up_elsewhere_is_asked_for_here(
    shared: SharedKey, store: Store, tmp_path: Path
) -> None:
    clock = StoppedClock()
    accounts = Accounts(store, tmp_path / "hashes", clock, shared)
    ann = accounts.add("Ann", Role.USER)
    one, two = (SecondFactors(store, accounts, tmp_path / "none", clock, shared) for _ in range(2))
    proposal = one.propose(ann)
    codes = one.enrol(ann, pyotp.TOTP(proposal.secret).at(clock()))
    two.reread(["ann", "bob"])
    assert two.is_needed(ann)
    one.remove(ann)
    two.reread(["ann", *(f"n-{number}" for number in range(100))])
    assert not two.is_needed(ann)
    codes = one.enrol(ann, pyotp.TOTP(one.propose(ann).secret).at(clock()))
    two.reread(["ann", "bob"])
    assert two.is_needed(ann)
    assert two.check(ann, codes[0])
    one.remove(ann)
    two.reread_all()
    assert not two.is_needed(ann)
    assert not (tmp_path / "none").exists()
