"""Settings of the deployment: by key, directories, connection strings.

A key has one value and one rule, whichever method sets it. Keys are set one by one, so rules
that join several can be held only where every order of setting them passes through legal states:
that is so for the connection strings, and not for the gateway's four keys (custom mode needs all
of them), whose values are checked each for itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from openrdms import ports
from openrdms.model import connection_string, errors, shadow
from openrdms.model.property_keys import DEPLOYMENT
from openrdms.model.setting import (
    ACTIVE_SERVER,
    PRIMARY_CONNECTION,
    SECONDARY_CONNECTION,
    SettingValue,
)


class Directory(StrEnum):
    """Directories with methods of their own, by the key that each is kept under."""

    BASE = "BaseVHDPath"
    DIFF = "DiffVHDPath"
    EXPORT = "ExportPath"
    SMB = "SMBPath"


_DIRECTORIES = frozenset(directory.casefold() for directory in Directory)
_PRIMARY = PRIMARY_CONNECTION.casefold()
_SECONDARY = SECONDARY_CONNECTION.casefold()
_READ_ONLY = ACTIVE_SERVER.casefold()


class Settings:
    """Rules of Win32_RDMSDeploymentSettings. Keys are found ignoring case."""

    def __init__(
        self, store: ports.Store, defaults: Mapping[Directory, Path], database: str | None = None
    ) -> None:
        """``defaults`` are the directories that the service uses by itself, ``database`` the
        connection string of that which services share, its password masked.
        """
        self._store = store
        self._defaults = defaults
        self._database = database

    def find(self, key: str) -> SettingValue | None:
        """None when it was never set. InvalidParameter for an empty key."""
        DEPLOYMENT.find(key)
        if self._database and key.casefold() == _PRIMARY:
            return self._database
        return self._store.find_setting(key)

    def set(self, key: str, value: SettingValue, field: str = "Value") -> None:
        """Set a key, whatever kind of value it had. InvalidParameter, InvalidOperation.

        ``field`` is what the caller knows the value by. The connection string of a database that
        services share can be set to what it is, and has no secondary one beside it.
        """
        accepted = _accept(key, value, field)
        if self._database and key.casefold() == _PRIMARY:
            _check_same(field, str(accepted), self._database)
            return
        if self._database and key.casefold() == _SECONDARY:
            reason = (
                "the one database of the records may have several servers: `rdms serve --database`"
            )
            raise errors.InvalidOperation(f"{field}: {reason}")
        self._store.change_setting(key, accepted, _check_connections)

    def remove(self, key: str) -> None:
        """NotFound when it is not set; NotSupported for the primary connection string.

        A directory's default is in force again then.
        """
        DEPLOYMENT.find(key)
        _check_writable(key)

        def check(_: Mapping[str, SettingValue]) -> None:
            if key.casefold() == _PRIMARY:
                raise errors.NotSupported(f"Key: {PRIMARY_CONNECTION} can only be replaced")

        self._store.change_setting(key, None, check)

    def find_directory(self, directory: Directory) -> str | None:
        """None when it is not set and the service has no default."""
        default = self._defaults.get(directory)
        return _text(self._store.find_setting(directory)) or (str(default) if default else None)

    def find_default(self, key: str) -> int | str | None:
        """What holds while the key is not set, where there is such a thing."""
        if key == shadow.KEY:
            return int(shadow.DEFAULT)
        return self.find_directory(Directory(key)) if key in set(Directory) else None

    def set_directory(self, directory: Directory, path: str) -> None:
        """InvalidParameter, naming DirectoryPath, unless it can be written to on this machine."""
        self.set(directory, path, "DirectoryPath")


def _check_same(field: str, given: str, database: str) -> None:
    """InvalidParameter unless it is where the records are: they do not move by being told to."""
    if connection_string.read_parts(field, given) != connection_string.read_parts(field, database):
        reason = "is not what it is now; `rdms serve --database` says where records are"
        raise errors.InvalidParameter(field, reason)


def _accept(key: str, value: SettingValue, field: str) -> SettingValue:
    """The value to keep."""
    known = DEPLOYMENT.find(key)
    folded = key.casefold()
    _check_writable(key)
    if isinstance(value, tuple):
        if known or folded in _DIRECTORIES:
            raise errors.InvalidParameter("Key", f"{key} takes no array")
        return value
    if folded in _DIRECTORIES:
        if not isinstance(value, str):
            raise errors.InvalidParameter("Key", f"{key} takes a string")
        _check_directory(field, value)
    accepted = DEPLOYMENT.accept_change(key, value)
    if folded in (_PRIMARY, _SECONDARY):
        connection_string.parse(field, str(accepted))
    return accepted


def _check_writable(key: str) -> None:
    if key.casefold() == _READ_ONLY:
        raise errors.InvalidOperation(f"Key: {ACTIVE_SERVER} is read-only")


def _check_connections(settings: Mapping[str, SettingValue]) -> None:
    primary, secondary = _text(settings.get(_PRIMARY)), _text(settings.get(_SECONDARY))
    connection_string.check_pair(primary, secondary)


def _check_directory(field: str, path: str) -> None:
    if path.startswith(("\\\\", "//")):
        raise errors.InvalidParameter(
            field, f"{path!r} is a share: mount it and name the directory it is mounted on"
        )
    if not os.path.isabs(path):
        raise errors.InvalidParameter(field, f"{path!r} is not an absolute path")
    if not os.path.isdir(path):  # False for what cannot be a path, too
        raise errors.InvalidParameter(field, f"{path!r} is no directory on this machine")
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=True):
        raise errors.InvalidParameter(field, f"this service may not write to {path!r}")


def _text(value: SettingValue | None) -> str | None:
    return value if isinstance(value, str) else None
