"""The feed: made anew from its sources, one collection at a time.

Whatever changes a source refreshes the feed in the same transaction.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from openrdms.adapters.sql import rows, schema, session_tables
from openrdms.adapters.sql.collection_names import list_aliases
from openrdms.adapters.sql.publishing_tables import applications, feed, file_types
from openrdms.adapters.sql.values import find_value
from openrdms.model.collection import Collection
from openrdms.model.publishing import Application, FeedSource, FileType, Resource, make_feed
from openrdms.model.session_host import SessionCollection


def refresh_all(connection: sa.Connection) -> None:
    """Make the rows of every collection anew."""
    for alias in list_aliases(connection):
        refresh_feed(connection, alias)


def refresh_feed(connection: sa.Connection, alias: str) -> None:
    """Make a collection's rows anew; those that come out as they were keep their time."""
    source = _find_source(connection, alias)
    if source is None:
        return
    key = alias.casefold()
    present = feed.c.collection_key == key
    before = {
        row.application.casefold(): row
        for row in rows.select_records(connection, Resource, feed, present)
    }
    published = rows.select_records(
        connection,
        Application,
        applications,
        applications.c.collection_key == key,
    )
    types = rows.select_records(
        connection, FileType, file_types, file_types.c.collection_key == key
    )
    after = [
        row.since(before.get(row.application.casefold()))
        for row in make_feed(source, published, types, datetime.now(UTC))
    ]
    connection.execute(sa.delete(feed).where(present))
    connection.execute(sa.insert(feed), [_render(row) for row in after])


def _render(row: Resource) -> dict[str, object]:
    return rows.render_row(
        row,
        collection_key=row.collection.casefold(),
        application_key=row.application.casefold(),
    )


def _find_source(connection: sa.Connection, alias: str) -> FeedSource | None:
    """A collection of desktops, or else one of sessions."""
    desktops, sessions = schema.collections, session_tables.collections
    of_desktops = rows.find_record(
        connection, Collection, desktops, desktops.c.alias_key == alias.casefold()
    )
    if of_desktops:
        return FeedSource(
            of_desktops.alias,
            of_desktops.name,
            of_desktops.security_descriptor,
            of_desktops.show_in_portal,
            of_desktops.icon,
        )
    of_sessions = rows.find_record(
        connection, SessionCollection, sessions, sessions.c.alias_key == alias.casefold()
    )
    if of_sessions is None:
        return None
    descriptor = find_value(
        connection,
        session_tables.collection_values,
        collection_key=alias,
        key="SecurityDescriptor",
    )
    return FeedSource(of_sessions.alias, of_sessions.name, descriptor)
