"""Which user has which server of a personal session collection."""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql import rows, session_tables
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.session_collections import get_session_collection
from openrdms.model import errors
from openrdms.model.assignment import Assignment, AssignmentFilter
from openrdms.model.session_host import SessionCollection

_assignments = session_tables.assignments
_hosts = session_tables.hosts


class AssignmentRecords:
    """The part of ports.SessionHostStore about assignments."""

    _database: Database

    def list_assignments(self, wanted: AssignmentFilter) -> list[Assignment]:
        order = [_assignments.c.collection_key, _assignments.c.desktop_key]
        with self._database.read() as connection:
            return rows.select_records(
                connection, Assignment, _assignments, *_matching(wanted), order=order
            )

    def add_assignment(self, assignment: Assignment) -> Assignment:
        with self._database.write() as connection:
            collection = get_session_collection(connection, assignment.collection)
            if not collection.type.is_personal:
                raise errors.InvalidOperation(
                    f"collection {collection.alias!r} is pooled: its desktops belong to nobody"
                )
            desktop = _get_member(connection, collection, assignment.desktop)
            made = Assignment(collection.alias, desktop, assignment.user, assignment.user_domain)
            _check_free(connection, made)
            connection.execute(sa.insert(_assignments).values(_render(made)))
            return made

    def remove_assignments(self, wanted: AssignmentFilter) -> int:
        with self._database.write() as connection:
            gone = sa.delete(_assignments).where(*_matching(wanted))
            return connection.execute(gone).rowcount


def _matching(wanted: AssignmentFilter) -> list[sa.ColumnElement[bool]]:
    columns = _assignments.c
    asked = {
        columns.collection_key: wanted.collection,
        columns.desktop_key: wanted.desktop,
        columns.user_key: wanted.user,
        columns.domain_key: wanted.user_domain,
    }
    return [column == text.casefold() for column, text in asked.items() if text is not None]


def _get_member(connection: sa.Connection, collection: SessionCollection, name: str) -> str:
    """The server's name as it is on record."""
    known = sa.select(_hosts.c.name, _hosts.c.collection_key)
    row = connection.execute(known.where(_hosts.c.name_key == name.casefold())).one_or_none()
    if row is None:
        raise errors.NotFound(f"DesktopName: there is no session host {name!r}")
    if row.collection_key != collection.alias.casefold():
        raise errors.InvalidOperation(f"{row.name} is not a server of {collection.alias!r}")
    return str(row.name)


def _check_free(connection: sa.Connection, made: Assignment) -> None:
    """Even the same assignment is refused: clients expect to remove before they add."""
    user = AssignmentFilter(made.collection, user=made.user, user_domain=made.user_domain)
    taken = [
        (user, f"{made.user_domain}\\{made.user} has a desktop in {made.collection!r} already"),
        (AssignmentFilter(desktop=made.desktop), f"{made.desktop} belongs to a user already"),
    ]
    for wanted, reason in taken:
        found = sa.select(_assignments.c.desktop).where(*_matching(wanted))
        if connection.execute(found).first():
            raise errors.AlreadyExists(reason)


def _render(assignment: Assignment) -> dict[str, object]:
    return rows.render_row(
        assignment,
        collection_key=assignment.collection.casefold(),
        desktop_key=assignment.desktop.casefold(),
        user_key=assignment.user.casefold(),
        domain_key=assignment.user_domain.casefold(),
    )
