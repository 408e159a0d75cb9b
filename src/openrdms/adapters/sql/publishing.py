"""Published applications, file types and the feed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from openrdms.adapters.sql import rows
from openrdms.adapters.sql.collection_names import find_alias
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.feed import refresh_all, refresh_feed
from openrdms.adapters.sql.publishing_tables import applications, feed, file_types
from openrdms.model import errors
from openrdms.model.publishing import Application, FileType, Resource


class PublishingRecords:
    """The part of ports.Store about published applications, file types and the feed."""

    _database: Database

    def list_applications(self, collection: str | None = None) -> list[Application]:
        columns = applications.c
        where = [] if collection is None else [columns.collection_key == collection.casefold()]
        order = [columns.collection_key, columns.alias_key]
        with self._database.read() as connection:
            return rows.select_records(connection, Application, applications, *where, order=order)

    def find_application(self, collection: str, alias: str) -> Application | None:
        with self._database.read() as connection:
            return _find_application(connection, collection, alias)

    def create_application(self, application: Application) -> Application:
        with self._database.write() as connection:
            collection = find_alias(connection, application.collection)
            if collection is None:
                raise _no_collection(application.collection)
            if _find_application(connection, application.collection, application.alias):
                raise errors.AlreadyExists(f"AppAlias: {application.alias!r} is published already")
            made = replace(application, collection=collection)
            connection.execute(sa.insert(applications).values(_render_application(made)))
            refresh_feed(connection, collection)
            return made

    def change_application(
        self, collection: str, alias: str, change: Callable[[Application], Application]
    ) -> None:
        with self._database.write() as connection:
            before = _find_application(connection, collection, alias)
            if before is None:
                raise _no_application(collection, alias)
            rows.put_rows(connection, applications, [_render_application(change(before))])
            refresh_feed(connection, collection)

    def delete_application(self, collection: str, alias: str) -> None:
        gone = sa.delete(applications).where(*_is_application(collection, alias))
        with self._database.write() as connection:
            if connection.execute(gone).rowcount == 0:
                raise _no_application(collection, alias)
            refresh_feed(connection, collection)

    def list_file_types(
        self, collection: str | None = None, application: str | None = None
    ) -> list[FileType]:
        columns = file_types.c
        wanted = {columns.collection_key: collection, columns.application_key: application}
        where = [key == name.casefold() for key, name in wanted.items() if name is not None]
        order = [columns.collection_key, columns.application_key, columns.extension_key]
        with self._database.read() as connection:
            return rows.select_records(connection, FileType, file_types, *where, order=order)

    def find_file_type(self, collection: str, application: str, extension: str) -> FileType | None:
        with self._database.read() as connection:
            return _find_file_type(connection, collection, application, extension)

    def create_file_type(self, file_type: FileType) -> FileType:
        collection, alias = file_type.collection, file_type.application
        with self._database.write() as connection:
            opener = _find_application(connection, collection, alias)
            if opener is None:
                reason = f"{collection!r} publishes no application {alias!r}"
                raise errors.InvalidParameter("AppAlias", reason)
            made = replace(file_type, collection=opener.collection, application=opener.alias)
            if _find_file_type(connection, collection, alias, made.extension):
                raise errors.AlreadyExists(f"ExtName: {made.extension!r} is there already")
            connection.execute(sa.insert(file_types).values(_render_file_type(made)))
            refresh_feed(connection, collection)
            return made

    def change_file_type(
        self,
        collection: str,
        application: str,
        extension: str,
        change: Callable[[FileType], FileType],
    ) -> None:
        with self._database.write() as connection:
            before = _find_file_type(connection, collection, application, extension)
            if before is None:
                raise _no_file_type(collection, application, extension)
            rows.put_rows(connection, file_types, [_render_file_type(change(before))])
            refresh_feed(connection, collection)

    def delete_file_type(self, collection: str, application: str, extension: str) -> None:
        gone = sa.delete(file_types).where(*_is_file_type(collection, application, extension))
        with self._database.write() as connection:
            if connection.execute(gone).rowcount == 0:
                raise _no_file_type(collection, application, extension)
            refresh_feed(connection, collection)

    def rebuild_feed(self, collection: str | None = None) -> None:
        with self._database.write() as connection:
            if collection is None:
                refresh_all(connection)
            elif find_alias(connection, collection) is None:
                raise errors.NotFound(f"there is no collection {collection!r}")
            else:
                refresh_feed(connection, collection)

    def list_feed(self) -> list[Resource]:
        order = [feed.c.collection_key, feed.c.application_key]
        with self._database.read() as connection:
            return rows.select_records(connection, Resource, feed, order=order)


def _is_application(collection: str, alias: str) -> list[sa.ColumnElement[bool]]:
    columns = applications.c
    return [columns.collection_key == collection.casefold(), columns.alias_key == alias.casefold()]


def _is_file_type(
    collection: str, application: str, extension: str
) -> list[sa.ColumnElement[bool]]:
    columns = file_types.c
    return [
        columns.collection_key == collection.casefold(),
        columns.application_key == application.casefold(),
        columns.extension_key == extension.casefold(),
    ]


def _find_application(connection: sa.Connection, collection: str, alias: str) -> Application | None:
    return rows.find_record(
        connection, Application, applications, *_is_application(collection, alias)
    )


def _find_file_type(
    connection: sa.Connection, collection: str, application: str, extension: str
) -> FileType | None:
    where = _is_file_type(collection, application, extension)
    return rows.find_record(connection, FileType, file_types, *where)


def _render_application(application: Application) -> dict[str, object]:
    return rows.render_row(
        application,
        collection_key=application.collection.casefold(),
        alias_key=application.alias.casefold(),
    )


def _render_file_type(file_type: FileType) -> dict[str, object]:
    return rows.render_row(
        file_type,
        collection_key=file_type.collection.casefold(),
        application_key=file_type.application.casefold(),
        extension_key=file_type.extension.casefold(),
    )


def _no_application(collection: str, alias: str) -> errors.NotFound:
    return errors.NotFound(f"collection {collection!r} publishes no application {alias!r}")


def _no_file_type(collection: str, application: str, extension: str) -> errors.NotFound:
    return errors.NotFound(
        f"application {application!r} of {collection!r} has no file type {extension!r}"
    )


def _no_collection(alias: str) -> errors.InvalidParameter:
    return errors.InvalidParameter("PoolName", f"there is no collection {alias!r}")
