"""Collections and what comes and goes with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema
from openrdms.adapters.sql.collection_names import claim_names, claim_share, release_names, rename
from openrdms.adapters.sql.database import Database, note_change
from openrdms.adapters.sql.desktop_uses import change_resets
from openrdms.adapters.sql.feed import refresh_feed
from openrdms.adapters.sql.publishing_tables import applications
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.collection import (
    Collection,
    CollectionKind,
    CollectionState,
    ProvisioningSettings,
    ReferenceDesktop,
)
from openrdms.model.farm_settings import find_share

_collections = schema.collections
_settings = schema.provisioning_settings
_values = schema.collection_values
_Part = TypeVar("_Part", ProvisioningSettings, ReferenceDesktop)

_QUICK_FIND = rows.query_records(Collection, _collections).where(
    _collections.c.alias_key == sa.bindparam("alias")
)
_QUICK_PROVISIONING = rows.query_records(ProvisioningSettings, _settings).where(
    _settings.c.collection_key == sa.bindparam("alias")
)
_QUICK_PROPERTY = (
    sa.select(_values.c.number, _values.c.text)
    .select_from(_collections)
    .outerjoin(
        _values,
        sa.and_(
            _values.c.collection_key == _collections.c.alias_key,
            _values.c.key == sa.bindparam("key"),
        ),
    )
    .where(_collections.c.alias_key == sa.bindparam("alias"))
)
"""A row without values: there is the collection, and the key was never set."""


class CollectionRecords:
    """The part of ports.Store about collections."""

    _database: Database

    def list_collections(self) -> list[Collection]:
        with self._database.read() as connection:
            return rows.select_records(
                connection, Collection, _collections, order=[_collections.c.alias_key]
            )

    def find_collection(self, alias: str) -> Collection | None:
        found = self._database.quick.rows(_QUICK_FIND, alias=alias.casefold())
        return Collection(*found[0]) if found else None

    def create_collection(self, collection: Collection) -> None:
        with self._database.write() as connection:
            claim_names(connection, CollectionKind.DESKTOPS, collection.alias, collection.name)
            _claim_share(connection, collection)
            connection.execute(sa.insert(_collections).values(_render(collection)))
            refresh_feed(connection, collection.alias)
            note_change(connection, Kind.COLLECTION, collection.alias)

    def change_collection(
        self, alias: str, change: Callable[[Collection], Collection]
    ) -> list[str]:
        kept = ("alias", "alias_key", "state", "job_guid")
        with self._database.write() as connection:
            before = get_collection(connection, alias)
            changed = change(before)
            if changed.show_in_portal and not before.show_in_portal:
                _check_unpublished(connection, alias)
            rename(connection, alias, changed.name)
            _claim_share(connection, changed)
            values = {key: value for key, value in _render(changed).items() if key not in kept}
            connection.execute(sa.update(_collections).where(_is(alias)).values(values))
            refresh_feed(connection, alias)
            note_change(connection, Kind.COLLECTION, before.alias)
            if changed.resets is before.resets:
                return []
            return change_resets(connection, alias, resets=changed.resets)

    def delete_collection(self, alias: str) -> None:
        with self._database.write() as connection:
            collection = _check_deletion(connection, alias)
            _release_members(connection, alias)
            connection.execute(sa.delete(_collections).where(_is(alias)))
            release_names(connection, alias)
            note_change(connection, Kind.COLLECTION, collection.alias)

    def check_deletion(self, alias: str) -> None:
        with self._database.read() as connection:
            _check_deletion(connection, alias)

    def get_property(self, alias: str, key: str) -> int | str | None:
        found = self._database.quick.rows(
            _QUICK_PROPERTY, alias=alias.casefold(), key=key.casefold()
        )
        if not found:
            raise no_collection(alias)
        number, text = found[0]
        return text if number is None else number  # type: ignore[no-any-return]

    def set_property(self, alias: str, key: str, value: int | str) -> None:
        row = {
            "collection_key": alias.casefold(),
            "key": key.casefold(),
            "number": value if isinstance(value, int) else None,
            "text": value if isinstance(value, str) else None,
        }
        with self._database.write() as connection:
            note_change(connection, Kind.COLLECTION, get_collection(connection, alias).alias)
            rows.put_rows(connection, _values, [row])

    def find_provisioning(self, alias: str) -> ProvisioningSettings | None:
        found = self._database.quick.rows(_QUICK_PROVISIONING, alias=alias.casefold())
        return ProvisioningSettings(*found[0]) if found else None

    def set_provisioning(self, alias: str, settings: ProvisioningSettings) -> None:
        with self._database.write() as connection:
            set_provisioning(connection, alias, settings)

    def find_reference(self, alias: str) -> ReferenceDesktop | None:
        with self._database.read() as connection:
            return _find_part(connection, ReferenceDesktop, schema.reference_desktops, alias)

    def change_reference(
        self, alias: str, change: Callable[[ReferenceDesktop], ReferenceDesktop]
    ) -> None:
        table = schema.reference_desktops
        with self._database.write() as connection:
            note_change(connection, Kind.COLLECTION, get_collection(connection, alias).alias)
            before = _find_part(connection, ReferenceDesktop, table, alias) or ReferenceDesktop()
            row = rows.render_row(change(before), collection_key=alias.casefold())
            rows.put_rows(connection, table, [row])


def find_collection(connection: sa.Connection, alias: str) -> Collection | None:
    return rows.find_record(connection, Collection, _collections, _is(alias))


def get_collection(connection: sa.Connection, alias: str) -> Collection:
    """NotFound."""
    found = find_collection(connection, alias)
    if found is None:
        raise no_collection(alias)
    return found


def set_provisioning(connection: sa.Connection, alias: str, settings: ProvisioningSettings) -> None:
    note_change(connection, Kind.COLLECTION, get_collection(connection, alias).alias)
    prefix = settings.name_prefix.casefold()
    taken = sa.select(_settings.c.collection_key).where(
        _settings.c.name_prefix_key == prefix, _settings.c.collection_key != alias.casefold()
    )
    if connection.execute(taken).first():
        raise errors.AlreadyExists(
            f"NamingPrefix: {settings.name_prefix!r} belongs to another collection"
        )
    row = rows.render_row(settings, collection_key=alias.casefold(), name_prefix_key=prefix)
    rows.put_rows(connection, _settings, [row])


def no_collection(alias: str) -> errors.NotFound:
    return errors.NotFound(f"there is no collection {alias!r}")


def _find_part(
    connection: sa.Connection, kind: type[_Part], table: sa.Table, alias: str
) -> _Part | None:
    return rows.find_record(connection, kind, table, table.c.collection_key == alias.casefold())


def _is(alias: str) -> sa.ColumnElement[bool]:
    return _collections.c.alias_key == alias.casefold()


def _render(collection: Collection) -> dict[str, object]:
    return rows.render_row(
        collection,
        alias_key=collection.alias.casefold(),
        name_key=collection.name.casefold(),
    )


def _check_deletion(connection: sa.Connection, alias: str) -> Collection:
    collection = get_collection(connection, alias)
    _check_idle(connection, collection)
    if collection.is_managed:
        _check_empty(connection, alias)
    return collection


def _check_idle(connection: sa.Connection, collection: Collection) -> None:
    alias = collection.alias
    if collection.state is CollectionState.UPDATE_SCHEDULED:
        raise errors.InvalidOperation(f"an update of {alias!r} is scheduled: cancel it first")
    jobs = schema.jobs.c
    running = sa.select(jobs.guid).where(
        jobs.collection_key == alias.casefold(), jobs.ended.is_(None), jobs.action != "Prep"
    )
    guid = connection.execute(running).scalar()
    if guid:
        raise errors.InvalidOperation(f"job {guid} of collection {alias!r} is running")


def _claim_share(connection: sa.Connection, collection: Collection) -> None:
    settings = collection.vm_farm_settings
    claim_share(connection, collection.alias, find_share(settings) if settings else "")


def _check_unpublished(connection: sa.Connection, alias: str) -> None:
    """A collection publishes applications or its desktop (facts a.3, Set-RDRemoteDesktop)."""
    query = sa.select(applications.c.alias).where(applications.c.collection_key == alias.casefold())
    published = connection.execute(query).scalar()
    if published is not None:
        raise errors.InvalidOperation(
            f"ShowInPortal: collection {alias!r} publishes applications, {published} for one"
        )


def _check_empty(connection: sa.Connection, alias: str) -> None:
    """Former members count: without the collection no Delete job could take them away."""
    desktops = schema.desktops.c
    key = alias.casefold()
    name = connection.execute(
        sa.select(desktops.name).where(
            sa.or_(desktops.collection_key == key, desktops.home_key == key)
        )
    ).scalar()
    if name:
        raise errors.InvalidOperation(f"collection {alias!r} has desktops, {name} for one")


def _release_members(connection: sa.Connection, alias: str) -> None:
    """Adopted desktops are strangers again, others remain without membership."""
    history = schema.memberships
    connection.execute(sa.delete(history).where(history.c.collection_key == alias.casefold()))
    desktops = schema.desktops
    member = desktops.c.collection_key == alias.casefold()
    connection.execute(sa.delete(desktops).where(member, desktops.c.home_key == ""))
    connection.execute(
        sa.update(desktops)
        .where(member)
        .values(collection="", collection_key="", user=None, user_domain=None, user_key=None)
    )
