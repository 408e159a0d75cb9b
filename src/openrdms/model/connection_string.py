"""Connection strings of the deployment's database (facts a.7).

They hold passwords: nothing made here, an error's text least of all, shows a part of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from openrdms.model.errors import InvalidOperation, InvalidParameter

MASK = "********"
"""Stands for a password that is not told."""

_MAX_LENGTH = 4096
_VALUE = r""""(?:[^"]|"")*"|'(?:[^']|'')*'|\{(?:[^}]|\}\})*\}|(?!["'{])[^;]*"""
_PART = re.compile(rf"([^=;]*)=\s*+({_VALUE})\s*+(?:;|\Z)|\s*+(?:;|\Z)")
"""NAME=VALUE of ADO.NET and ODBC, or nothing. A value in quotes may hold a semicolon."""

_DATABASE = ("database", "initial catalog")
_WINDOWS_AUTHENTICATION = ("trusted_connection", "integrated security")


@dataclass(frozen=True)
class Database:
    """What a connection string says of its database.

    ``is_dedicated``: the broker logs in as itself (Windows authentication), so that the
    database cannot be shared.
    """

    name: str
    is_dedicated: bool


def parse(field: str, text: str) -> Database:
    """InvalidParameter, naming ``field``, when it is no connection string of one database."""
    parts = read_parts(field, text)
    names = {parts[name] for name in _DATABASE if parts.get(name)}
    if len(names) != 1:
        raise InvalidParameter(field, "needs one Database")
    trusted = {parts.get(name, "").casefold() for name in _WINDOWS_AUTHENTICATION}
    return Database(names.pop(), is_dedicated=bool(trusted & {"yes", "true", "sspi"}))


def read_parts(field: str, text: str) -> dict[str, str]:
    """Values by names, case-folded. InvalidParameter."""
    if len(text) > _MAX_LENGTH:
        raise InvalidParameter(field, f"is longer than {_MAX_LENGTH} characters")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise InvalidParameter(field, "has a control character")
    parts: dict[str, str] = {}
    for name, value in _split(field, text):
        if name in parts:
            raise InvalidParameter(field, "gives a name twice")
        parts[name] = value
    return parts


def check_pair(primary: str | None, secondary: str | None) -> None:
    """InvalidOperation unless they may stand side by side; None is unset."""
    if secondary is None:
        return
    if primary is None:
        raise InvalidOperation("a secondary connection string needs a primary one")
    one, other = parse("ConnectionString", primary), parse("SecondaryConnectionString", secondary)
    if one.is_dedicated or other.is_dedicated:
        raise InvalidOperation(
            "a dedicated database (Windows authentication) has no secondary connection string"
        )
    if one.name.casefold() != other.name.casefold():
        raise InvalidOperation("primary and secondary connection string name different databases")


def _split(field: str, text: str) -> Iterator[tuple[str, str]]:
    """Names, case-folded, and values without their quotes."""
    position = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise InvalidParameter(field, f"is not NAME=VALUE;... at character {position + 1}")
        position = part.end()
        if part[1] is not None:
            name = " ".join(part[1].split()).casefold()
            if not name:
                raise InvalidParameter(field, f"has a value without a name before {position}")
            yield name, _unquote(part[2])


def _unquote(value: str) -> str:
    if value[:1] in ("'", '"', "{"):
        end = value[-1]
        return value[1:-1].replace(end * 2, end)
    return value.strip()
