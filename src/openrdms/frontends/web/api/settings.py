"""Settings of the deployment. Connection strings hold passwords and are not told here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from openrdms.frontends.web.api.shapes import Input, Name
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.fields import renamed
from openrdms.frontends.web.visitors import Reader, Writer
from openrdms.model.errors import NotFound
from openrdms.model.property_keys import DEPLOYMENT
from openrdms.model.setting import PRIMARY_CONNECTION, SECONDARY_CONNECTION, SettingValue
from openrdms.services.settings import Directory

router = APIRouter(prefix="/settings", tags=["settings"])

_CLASS = "Win32_RDMSDeploymentSettings"
_SECRET = frozenset({PRIMARY_CONNECTION.casefold(), SECONDARY_CONNECTION.casefold()})
_FIELDS = {"Key": "key", "Value": "value"}


class Setting(BaseModel):
    """A setting; ``value`` is null when it was never set, ``default`` is in force then."""

    key: str
    value: int | str | list[str] | None
    default: int | str | None = None


class SettingsList(BaseModel):
    """Every key that is known; others can be read and set by their names."""

    items: list[Setting]


class SettingChange(Input):
    """A number, a text or texts, as the key has it."""

    value: (
        Annotated[int, Field(ge=-(2**31), lt=2**31)]
        | Annotated[str, Field(max_length=65_536)]
        | Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=100)]
    )


def read_settings(backend: Backend) -> list[Setting]:
    """Every known key but those that are secret."""
    keys = [key for key in DEPLOYMENT.names if key.casefold() not in _SECRET]
    return [_read(backend, key) for key in (*keys, *Directory)]


def _read(backend: Backend, key: str) -> Setting:
    value = backend.settings.find(key)
    default = backend.settings.find_default(key) if value is None else None
    return Setting(key=key, value=_plain(value), default=default)


def _plain(value: SettingValue | None) -> int | str | list[str] | None:
    return list(value) if isinstance(value, tuple) else value


def _check_open(key: str) -> None:
    if key.casefold() in _SECRET:
        raise NotFound(f"the setting {key!r} is not told here")


@router.get("")
def list_settings(visitor: Reader) -> SettingsList:
    """Every key that is known."""
    with visitor.watch(_CLASS, "GetStringProperty"):
        return SettingsList(items=read_settings(visitor.backend))


@router.get("/{key}")
def get_setting(visitor: Reader, key: Name) -> Setting:
    """One setting, found ignoring case."""
    with renamed(_FIELDS), visitor.watch(_CLASS, "GetStringProperty", values={"Key": key}):
        _check_open(key)
        return _read(visitor.backend, key)


@router.put("/{key}")
def set_setting(visitor: Writer, key: Name, change: SettingChange) -> Setting:
    """Set it, whatever it was."""
    value = tuple(change.value) if isinstance(change.value, list) else change.value
    with renamed(_FIELDS), visitor.watch(_CLASS, "SetStringProperty", values={"Key": key}):
        _check_open(key)
        visitor.backend.settings.set(key, value, field="value")
    return _read(visitor.backend, key)


@router.delete("/{key}", status_code=204)
def remove_setting(visitor: Writer, key: Name) -> None:
    """Have it as if it was never set."""
    with renamed(_FIELDS), visitor.watch(_CLASS, "RemoveDeploymentSetting", values={"Key": key}):
        _check_open(key)
        visitor.backend.settings.remove(key)
