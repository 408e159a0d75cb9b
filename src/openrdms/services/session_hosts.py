"""Session collections and their servers: instances, properties, states, key/value pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openrdms import ports
from openrdms.model import errors, property_keys
from openrdms.model.collection import check_names
from openrdms.model.host_name import check_full_name
from openrdms.model.session_host import ServerState, SessionCollection, SessionHost
from openrdms.services.deployment import Deployment


class SessionHosts:
    """Rules of Win32_RDSHCollection and Win32_RDSHServer. Names are compared ignoring case."""

    def __init__(self, store: ports.Store, deployment: Deployment) -> None:
        self._store = store
        self._deployment = deployment

    def list_collections(self) -> list[SessionCollection]:
        return self._store.list_session_collections()

    def get_collection(self, alias: str) -> SessionCollection:
        """NotFound."""
        found = self._store.find_session_collection(alias)
        if found is None:
            raise errors.NotFound(f"there is no session collection {alias!r}")
        return found

    def create_collection(self, collection: SessionCollection) -> None:
        """InvalidParameter; AlreadyExists when a collection of either kind has alias or name."""
        check_names(collection.alias, collection.name)
        self._store.create_session_collection(collection)

    def modify_collection(self, alias: str, **changes: Any) -> None:
        """Change fields of SessionCollection by name; the type between the personal ones only.

        InvalidParameter, NotFound, AlreadyExists.
        """

        def change(before: SessionCollection) -> SessionCollection:
            after = replace(before, **changes)
            if after.type.is_personal != before.type.is_personal:
                raise errors.InvalidParameter("Type", "changes between 4 and 5 only")
            check_names(after.alias, after.name)
            return after

        self._store.change_session_collection(alias, change)

    def delete_collection(self, alias: str) -> None:
        """With it go its properties and pairs, and what it publishes.

        NotFound; InvalidOperation while it has servers.
        """
        self._store.delete_session_collection(alias)

    def find_collection_property(self, alias: str, key: str) -> int | str | None:
        """None when it was never set. InvalidParameter for an empty key."""
        property_keys.SESSION_COLLECTION.find(key)
        return self._store.find_session_collection_value(alias, key)

    def set_collection_property(self, alias: str, key: str, value: int | str) -> None:
        """InvalidParameter, NotFound; InvalidOperation for what its type cannot have (facts d)."""
        value = property_keys.SESSION_COLLECTION.accept_change(key, value)
        personal = self.get_collection(alias).type.is_personal
        if value and key.casefold() == "isuseradmin" and not personal:
            raise errors.InvalidOperation("Key: IsUserAdmin is for personal collections only")
        if value and key.casefold() == "isuservhdenabled" and personal:
            raise errors.InvalidOperation("Key: a personal collection has no user profile disks")
        self._store.set_session_collection_value(alias, key, value)

    def find_pair(self, alias: str, key: str) -> str | None:
        """The value that KeyValueCompareAndSet has left. InvalidParameter for an empty key."""
        return self._store.find_pair(alias, _checked(key))

    def compare_and_set_pair(
        self, alias: str, key: str, comparand: str | None, value: str
    ) -> str | None:
        """See ports.SessionHostStore. InvalidParameter for an empty key."""
        return self._store.compare_and_set_pair(alias, _checked(key), comparand, value)

    def delete_pair(self, alias: str, key: str) -> None:
        """NotFound; InvalidParameter for an empty key."""
        self._store.delete_pair(alias, _checked(key))

    def list_servers(self, collection: str | None = None) -> list[SessionHost]:
        """Only members of ``collection``, of none for ""."""
        return self._store.list_session_hosts(collection)

    def get_server(self, name: str) -> SessionHost:
        """NotFound."""
        found = self._store.find_session_host(name)
        if found is None:
            raise errors.NotFound(f"there is no session host {name!r}")
        return found

    def create_server(self, name: str, broker: str = "", collection: str = "") -> None:
        """Record a server; without ``broker`` it is this service's.

        InvalidParameter, for a collection that does not exist too; AlreadyExists.
        """
        check_full_name("Name", name)
        self._store.create_session_host(SessionHost(name, self._broker(broker), collection))

    def modify_server(
        self, name: str, broker: str | None = None, collection: str | None = None
    ) -> None:
        """Change what is not None; "" is this service's broker, and no collection.

        A server joins a collection from none only: its users are those of the one it is in.
        InvalidParameter, NotFound, InvalidOperation.
        """

        def change(before: SessionHost) -> SessionHost:
            after = replace(
                before,
                broker=before.broker if broker is None else self._broker(broker),
                collection=before.collection if collection is None else collection,
            )
            if before.collection and after.collection.casefold() not in (
                "",
                before.collection.casefold(),
            ):
                raise errors.InvalidOperation(
                    f"CollectionAlias: {before.name} is a server of {before.collection!r}"
                )
            return after

        self._store.change_session_host(name, change)

    def delete_server(self, name: str) -> None:
        """With it go its properties and its assignment. NotFound."""
        self._store.delete_session_host(name)

    def find_server_property(self, name: str, key: str) -> int | str | None:
        """None when it was never set. InvalidParameter for an empty key."""
        property_keys.SESSION_HOST.find(key)
        return self._store.find_session_host_value(name, key)

    def set_server_property(self, name: str, key: str, value: int | str) -> None:
        """InvalidParameter, NotFound."""
        value = property_keys.SESSION_HOST.accept_change(key, value)
        self._store.set_session_host_value(name, key, value)

    def test_and_set_state(self, name: str, comparand: int, state: int) -> ServerState:
        """Set the state when it is ``comparand``; returns what it was. InvalidParameter, NotFound.

        A server that is set to STARTING waits to be started (``take_pending_starts``).
        """
        expected = _parse_state("Comparand", comparand)
        return self._store.test_and_set_state(name, expected, _parse_state("NewState", state))

    def take_pending_starts(self, limit: int) -> list[str]:
        """At most ``limit`` servers (0 is none) that wait to be started, longest waiting first.

        Each is handed out once over all callers. When the caller is lost with it, setting the
        state to another one and back to STARTING makes it wait again.
        """
        return self._store.take_pending_starts(limit)

    def _broker(self, given: str) -> str:
        this = self._deployment.active_server()
        if given.casefold() in ("", this.casefold()):
            return this
        check_full_name("ConnectionBroker", given)
        return given


def _checked(key: str) -> str:
    if not key:
        raise errors.InvalidParameter("Key", "is empty")
    return key


def _parse_state(field: str, value: int) -> ServerState:
    try:
        return ServerState(value)
    except ValueError as error:
        states = ", ".join(str(state.value) for state in ServerState)
        raise errors.InvalidParameter(field, f"{value} is not one of {states}") from error
