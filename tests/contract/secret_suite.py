"""What every store must do about secrets (ports.SecretStore)."""

from __future__ import annotations

from openrdms.model.change import Kind
from openrdms.ports import Store


class SecretSuite:
    """Needs a fixture ``store``."""

    def test_a_secret_is_kept_changed_and_gone(self, store: Store) -> None:
        store.put_secret("nt-hash/ann", "one")
        store.put_secret("nt-hash/ann", "two")
        store.put_secret("nt-hash/anna", "three")
        store.put_secret("audit-key", "four")
        assert store.find_secrets("nt-hash/") == {"nt-hash/ann": "two", "nt-hash/anna": "three"}
        assert store.find_secrets("nt_hash%") == {}
        store.delete_secret("nt-hash/ann")
        store.delete_secret("nt-hash/ann")
        assert [*store.find_secrets("nt-hash/")] == ["nt-hash/anna"]

    def test_who_adds_first_decides(self, store: Store) -> None:
        assert store.add_secret("proof", "one") == "one"
        assert store.add_secret("proof", "two") == "one"

    def test_a_change_is_one_of_its_account(self, store: Store) -> None:
        told: list[tuple[Kind, list[str]]] = []
        store.subscribe(lambda kind, keys: told.append((kind, list(keys))))
        store.put_secret("nt-hash/Ann", "one", account="Ann")
        store.put_secret("audit-key", "two")
        store.delete_secret("nt-hash/Ann", account="Ann")
        store.delete_secret("nt-hash/Ann", account="Ann")
        assert told == [(Kind.ACCOUNT, ["ann"])] * 2
