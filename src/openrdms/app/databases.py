"""Where the records of a state directory are, and the engine's own beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openrdms import config
from openrdms.adapters.sql.addresses import (
    add_keepalives,
    add_password,
    check_address,
    describe,
)
from openrdms.app.state_directory import own_file
from openrdms.model import errors
from openrdms.security.passwords import read_password_file


@dataclass(frozen=True)
class Databases:
    """URLs, with a password where one was given: neither to be shown nor to be logged."""

    records: str
    workflows: str
    is_shared: bool
    """Other services may have them too."""
    shared_key: Path | None = None
    """Of all services that have them."""
    connection_string: str | None = None
    """Of what services share, to be shown: its password is masked."""


def recall(state_dir: Path) -> config.Remembered:
    """What was used there last. OperationFailed when the record is damaged."""
    try:
        return config.recall(state_dir)
    except ValueError as error:
        raise errors.OperationFailed(str(error)) from error


def find_databases(
    state_dir: Path, database: str | None, password_file: Path | None, shared_key: Path | None
) -> Databases:
    """``database`` for both, with a ``shared_key``; None: files of the state directory.

    InvalidParameter; InvalidOperation when the records of this directory were elsewhere last time.
    """
    if database is None:
        _check_not_moved(state_dir)
        files = (own_file(state_dir / name) for name in ("records.sqlite", "jobs.sqlite"))
        records, workflows = (f"sqlite:///{file}" for file in files)
        return Databases(records, workflows, is_shared=False)
    check_address("--database", database)
    if shared_key is None:
        reason = "services that share a database share a key: `rdms database key FILE` makes one"
        raise errors.InvalidParameter("--shared-key", reason)
    password = None
    if password_file:
        password = read_password_file("--database-password-file", password_file)
    address = add_password(database, password)
    return Databases(
        address,
        add_keepalives(address),
        is_shared=True,
        shared_key=shared_key,
        connection_string=describe(address),
    )


def _check_not_moved(state_dir: Path) -> None:
    """Files that were left behind say what was true long ago."""
    last = recall(state_dir).database
    if last is not None:
        raise errors.InvalidOperation(f"the records of {state_dir} are in {last}: name --database")
