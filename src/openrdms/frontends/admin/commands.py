"""The administration commands: one table, used in this process and over the socket."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from openrdms.model import errors
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.services.audit import Audit
from openrdms.services.hosts import Hosts
from openrdms.services.images import ImageOptions, Images

Progress = Callable[[float, str], None]
"""Takes the fraction done and what is being done."""


class Target(Protocol):
    """What the commands work on."""

    @property
    def images(self) -> Images: ...
    @property
    def hosts(self) -> Hosts: ...
    @property
    def audit(self) -> Audit: ...


class Admin(Protocol):
    """Runs administration commands, here or in a service."""

    def run(self, command: str, arguments: dict[str, Any], progress: Progress) -> Any:
        """The command's result, JSON values only; RdmsError."""


class LocalAdmin:
    """Runs commands in this process."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def run(self, command: str, arguments: dict[str, Any], progress: Progress) -> Any:
        """See Admin. InvalidParameter for an unknown command or argument."""
        function = COMMANDS.get(command)
        if function is None:
            raise errors.InvalidParameter("command", f"{command!r} is unknown")
        try:
            inspect.signature(function).bind(self._target, progress, **arguments)
        except TypeError as error:
            raise errors.InvalidParameter(command, str(error)) from error
        return function(self._target, progress, **arguments)


def _list_hosts(target: Target, _: Progress) -> list[dict[str, Any]]:
    return [asdict(host.describe()) for host in target.hosts.all()]


def _take_screenshot(target: Target, _: Progress, *, vm: str) -> str:
    """The VM's screen as PNG in base64."""
    for host in target.hosts.all():
        if host.find_vm(vm):
            return base64.b64encode(host.screenshot(vm)).decode()
    raise errors.NotFound(f"no host has a VM called {vm!r}")


def _find_orphans(target: Target, _: Progress) -> dict[str, Any]:
    return asdict(target.audit.find_orphans())


def _list_images(target: Target, _: Progress) -> list[dict[str, Any]]:
    return [_describe(image) for image in target.images.list()]


def _build_image(
    target: Target, progress: Progress, *, name: str, variant: str, options: dict[str, Any]
) -> dict[str, Any]:
    built = target.images.build(name, variant, _read_options(options), progress)
    return _describe(built)


def _import_image(
    target: Target, progress: Progress, *, name: str, file: str, options: dict[str, Any]
) -> dict[str, Any]:
    imported = target.images.import_file(name, Path(file), _read_options(options), progress)
    return _describe(imported)


def _read_options(options: Mapping[str, Any]) -> ImageOptions:
    """InvalidParameter names an option that is unknown or has a wrong value."""
    try:
        return ImageOptions(
            **{name: _OPTIONS[name](value) for name, value in options.items() if value is not None}
        )
    except KeyError as error:
        raise errors.InvalidParameter("options", f"{error} is unknown") from error
    except ValueError as error:
        raise errors.InvalidParameter("options", str(error)) from error


_OPTIONS: Mapping[str, Callable[[Any], Any]] = {
    "os": GuestOs,
    "firmware": Firmware,
    "disk_bus": DiskBus,
    "memory_mib": int,
    "vcpus": int,
}


def _describe(image: ImageVersion) -> dict[str, Any]:
    """An image in JSON values: paths and times as text."""
    plain = {name: value for name, value in asdict(image).items() if value is not None}
    return {
        name: str(value) if isinstance(value, Path | datetime) else value
        for name, value in plain.items()
    }


COMMANDS: Mapping[str, Callable[..., Any]] = {
    "audit orphans": _find_orphans,
    "host list": _list_hosts,
    "host screenshot": _take_screenshot,
    "image build": _build_image,
    "image import": _import_image,
    "image list": _list_images,
}
"""By name; called with the target, the progress and the request's arguments by keyword."""
