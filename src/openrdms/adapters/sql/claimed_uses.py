"""Uses of desktops that jobs have in hand, changed in the transactions of the jobs' rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from openrdms.adapters.sql import schema
from openrdms.adapters.sql.database import note_change
from openrdms.adapters.sql.pool_tables import desktop_uses
from openrdms.model.change import Kind
from openrdms.model.desktop_use import Use

_uses = desktop_uses.c

_is_held = _uses.holder_key.is_not(None)
_CLAIM = (
    sa.update(desktop_uses)
    .where(_uses.name_key == sa.bindparam("key"))
    .values(
        use=Use.WORK,
        claim=sa.bindparam("job"),
        since=sa.bindparam("now", type_=_uses.since.type),
        mark=sa.bindparam("said"),
        holder="",
        holder_key=None,
        stay=sa.case((_is_held, _uses.stay + 1), else_=_uses.stay),
        stay_ended=sa.case((_is_held, schema.DatabaseClock()), else_=_uses.stay_ended),
        asked=False,
        seen=False,
        saved=False,
        reason="",
    )
)
_MARK = (
    sa.update(desktop_uses)
    .where(
        _uses.name_key == sa.bindparam("key"),
        _uses.use == Use.WORK,
        _uses.claim == sa.bindparam("job"),
    )
    .values(mark=sa.bindparam("said"))
)


def claim(
    connection: sa.Connection,
    guid: str,
    names: Iterable[str],
    marks: Mapping[str, str],
    now: datetime,
) -> None:
    """See ports.JobStore.put_job_desktops; ``names`` are those of the records."""
    said = {name.casefold(): mark for name, mark in marks.items()}
    new = [
        {"key": key, "job": guid, "now": now, "said": said.pop(key, "")}
        for key in (name.casefold() for name in names)
    ]
    if new:
        connection.execute(_CLAIM, new)
    if said:
        connection.execute(_MARK, [{"key": k, "job": guid, "said": m} for k, m in said.items()])


def release(
    connection: sa.Connection, guid: str, now: datetime, names: Iterable[str] | None = None
) -> Sequence[str]:
    """See ports.JobStore.release_uses. Returns names: a job may have any number."""
    mine: Sequence[sa.ColumnElement[bool]] = [_uses.claim == guid]
    if names is not None:
        mine = [*mine, _uses.name_key.in_([name.casefold() for name in names])]
    query = sa.select(schema.desktops.c.name).join_from(desktop_uses, schema.desktops)
    held = connection.scalars(query.where(*mine)).all()
    if not held:
        return []
    connection.execute(
        sa.update(desktop_uses)
        .where(*mine, _uses.use == Use.WORK)
        .values(
            use=sa.case((_uses.mark != "", Use.READY), else_=Use.UNREADY),
            since=now,
            fresh=sa.case((_uses.mark != "", now), else_=_uses.fresh),
            failures=0,
        )
    )
    connection.execute(sa.update(desktop_uses).where(*mine).values(claim=""))
    note_change(connection, Kind.DESKTOP, *held)
    return held
