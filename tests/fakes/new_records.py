"""Records for tests that need some and do not ask how a database comes to its schema."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from openrdms import ports
from openrdms.adapters import sql


def open_records(file: Path) -> ports.Store:
    """As ``sql.open_store``; new ones cost a copy, a fifth of what all migrations take."""
    if not file.exists():
        file.write_bytes(_migrated())
    return sql.open_store(f"sqlite:///{file}")


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as place:
        file = Path(place, "records.sqlite")
        sql.open_store(f"sqlite:///{file}").close()
        return file.read_bytes()
