"""Which calls of the audit log name what, of those that are there too."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_PAGE = 1000
_HIDDEN = "…"
"""Stands for what is told to nobody."""
_log = sa.table(
    "audit_log",
    sa.column("sequence", sa.BigInteger),
    sa.column("on", sa.JSON),
    sa.column("parameters", sa.JSON),
    sa.column("of", sa.BigInteger),
)


def upgrade() -> None:
    names = op.create_table(
        "audit_names",
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name_key", "sequence", name=op.f("audit_names_key")),
    )
    for page in _pages():
        new = [
            {"name_key": name, "sequence": row.sequence}
            for row in page
            for name in {*_names((*row.on.values(), *row.parameters.values()))}
        ]
        if new:
            op.get_bind().execute(sa.insert(names), new)


def _pages() -> Iterator[Sequence[Any]]:
    columns = _log.c
    wanted = sa.select(_log).where(columns.of.is_(None)).order_by(columns.sequence).limit(_PAGE)
    page = op.get_bind().execute(wanted).all()
    while page:
        yield page
        page = op.get_bind().execute(wanted.where(columns.sequence > page[-1].sequence)).all()


def _names(values: tuple[Any, ...]) -> Iterator[str]:
    for value in values:
        for text in value if isinstance(value, list) else [value]:
            if (
                isinstance(text, str)
                and text != _HIDDEN
                and 0 < len(text) <= 256
                and text.isprintable()
            ):
                yield text.casefold()
