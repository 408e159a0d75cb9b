"""What is unique over all collections, of desktops and of sessions: aliases, names, shares.

Clients tell published farms of both kinds apart by alias alone (facts a.2, a.7), and refuse a
name, or a share for profile disks, that a collection of either kind has (facts d). Rows that
belong to a collection of whichever kind hang on these.
"""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.model import errors
from openrdms.model.collection import CollectionKind
from openrdms.model.farm_settings import fold_share

names = sa.Table(
    "collection_names",
    schema.metadata,
    schema.text_column("alias_key", key=True),
    schema.text_column("name_key"),
    schema.text_column("alias"),
    schema.member_column("kind", CollectionKind),
    schema.text_column("share_key", null=True),
    sa.UniqueConstraint("name_key"),
    sa.UniqueConstraint("share_key"),
)


def claim_names(connection: sa.Connection, kind: CollectionKind, alias: str, name: str) -> None:
    """Take alias and name for a new collection. AlreadyExists when any collection has one."""
    if connection.execute(sa.select(names.c.alias).where(_is(alias))).first():
        raise errors.AlreadyExists(f"Alias: collection {alias!r} exists")
    _check_name(connection, alias, name)
    row = {"alias_key": alias.casefold(), "name_key": name.casefold(), "alias": alias, "kind": kind}
    connection.execute(sa.insert(names).values(row))


def rename(connection: sa.Connection, alias: str, name: str) -> None:
    """Exchange the name of that collection. AlreadyExists when another has it."""
    _check_name(connection, alias, name)
    connection.execute(sa.update(names).where(_is(alias)).values(name_key=name.casefold()))


def claim_share(connection: sa.Connection, alias: str, share: str) -> None:
    """Take the share for that collection's profile disks instead of the one it has, "" for none.

    AlreadyExists when another collection has it.
    """
    key = fold_share(share) or None
    if key is not None:
        taken = sa.select(names.c.alias).where(names.c.share_key == key, ~_is(alias))
        other = connection.execute(taken).scalar()
        if other is not None:
            raise errors.AlreadyExists(f"{share} has the profile disks of collection {other!r}")
    connection.execute(sa.update(names).where(_is(alias)).values(share_key=key))


def release_names(connection: sa.Connection, alias: str) -> None:
    """Give alias and name free; what hangs on the collection goes with them."""
    connection.execute(sa.delete(names).where(_is(alias)))


def find_alias(connection: sa.Connection, alias: str) -> str | None:
    """The alias as its collection has it; None when there is no such collection."""
    return connection.execute(sa.select(names.c.alias).where(_is(alias))).scalar()


def list_aliases(connection: sa.Connection) -> list[str]:
    """Of all collections."""
    return list(connection.execute(sa.select(names.c.alias)).scalars())


def _is(alias: str) -> sa.ColumnElement[bool]:
    return names.c.alias_key == alias.casefold()


def _check_name(connection: sa.Connection, alias: str, name: str) -> None:
    taken = sa.select(names.c.alias).where(names.c.name_key == name.casefold(), ~_is(alias))
    namesake = connection.execute(taken).scalar()
    if namesake is not None:
        raise errors.AlreadyExists(f"Name: collection {namesake!r} has it already")
