"""Addresses of databases: as they are named on a command line, and as programs are given them."""

from __future__ import annotations

import sqlalchemy as sa

from openrdms.adapters.sql.dialects import CONNECT_OPTIONS
from openrdms.model import errors
from openrdms.model.connection_string import MASK

_PORT = 5432

_SECRETS = ("password", "sslpassword")


def check_address(field: str, address: str) -> None:
    """It names a database of PostgreSQL and has no secret, since others see what programs are
    called with. InvalidParameter names ``field``.
    """
    url = _parse(field, address)
    if url.get_backend_name() != "postgresql" or not url.database:
        raise errors.InvalidParameter(field, "must be postgresql://USER@SERVER/DATABASE")
    if url.password is not None or any(secret in url.query for secret in _SECRETS):
        raise errors.InvalidParameter(field, "must have no password: name a file that has it")


def add_password(address: str, password: str | None) -> str:
    """For ``open_store``; without one libpq looks for it (PGPASSFILE, services)."""
    url = sa.make_url(address)
    if password is not None:
        url = url.set(password=password)
    return url.render_as_string(hide_password=False)


def add_keepalives(address: str) -> str:
    """For a program that is given nothing else: it is to notice as soon as records do."""
    url = sa.make_url(address)
    options = {name: str(value) for name, value in CONNECT_OPTIONS.items() if name != "options"}
    return url.update_query_dict(options).render_as_string(hide_password=False)


def describe(address: str) -> str:
    """The connection string that a client of ODBC would have, without the password."""
    url = sa.make_url(address)
    server = url.host or url.query.get("host") or "localhost"
    parts = {
        "Driver": "PostgreSQL Unicode",
        "Server": server if isinstance(server, str) else ",".join(server),
        "Port": str(url.port or _PORT),
        "Database": url.database or "",
        "UID": url.username or "",
        "Pwd": MASK,
    }
    return ";".join(f"{name}={_quote(value)}" for name, value in parts.items())


def _quote(value: str) -> str:
    if any(character in value for character in ";=\"'{} "):
        return "{" + value.replace("}", "}}") + "}"
    return value


def _parse(field: str, address: str) -> sa.URL:
    try:
        return sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise errors.InvalidParameter(field, "is not the URL of a database") from error
