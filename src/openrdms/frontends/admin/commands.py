"""The administration commands: one table, used in this process and over the socket."""

from __future__ import annotations

import base64
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from openrdms.frontends.admin import audit, hosts, users
from openrdms.frontends.admin.target import Progress, Target
from openrdms.model import errors
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.model.publishing import Resource
from openrdms.security import certificate
from openrdms.security.audited_change import AuditedChange
from openrdms.services.image_removal import Removal
from openrdms.services.images import ImageOptions


class LocalAdmin:
    """Runs commands in this process, for somebody on this machine, who stands in the audit log."""

    def __init__(self, target: Target, who: str) -> None:
        self._target = target
        self._who = who

    def run(self, command: str, arguments: dict[str, Any], progress: Progress) -> Any:
        """See Admin. InvalidParameter for an unknown command or argument."""
        function = COMMANDS.get(command)
        if function is None:
            raise errors.InvalidParameter("command", f"{command!r} is unknown")
        try:
            inspect.signature(function).bind(self._target, progress, **arguments)
        except TypeError as error:
            raise errors.InvalidParameter(command, str(error)) from error
        if command not in AUDITED:
            return function(self._target, progress, **arguments)
        log = self._target.audit_log
        with AuditedChange(log, self._who, "local", command, on={}, values=arguments):
            return function(self._target, progress, **arguments)


def _take_screenshot(target: Target, _: Progress, *, vm: str) -> str:
    """The VM's screen as PNG in base64."""
    for host in target.hosts.all():
        if host.find_vm(vm):
            return base64.b64encode(host.screenshot(vm)).decode()
    raise errors.NotFound(f"no host has a VM called {vm!r}")


def _show_certificate(target: Target, _: Progress) -> dict[str, Any]:
    return _plain(certificate.describe(target.state_dir / "tls"))


def _create_certificate(target: Target, _: Progress, *, names: list[str]) -> dict[str, Any]:
    certificate.renew(target.state_dir / "tls", names)
    return _plain(certificate.describe(target.state_dir / "tls"))


def _import_certificate(
    target: Target, _: Progress, *, certificate_file: str, key_file: str
) -> dict[str, Any]:
    pems = Path(certificate_file).read_bytes(), Path(key_file).read_bytes()
    certificate.replace(target.state_dir / "tls", *pems)
    return _plain(certificate.describe(target.state_dir / "tls"))


def _plain(description: certificate.Description) -> dict[str, Any]:
    """In JSON values: times as text."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(description).items()
    }


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


def _compare_images(
    target: Target, progress: Progress, *, before: str, after: str
) -> dict[str, Any]:
    return asdict(target.image_diff.compare(before, after, progress))


def _remove_image(target: Target, _: Progress, *, name: str) -> list[dict[str, Any]]:
    return _describe_removals(target.image_removal.remove(name))


def _plan_removal(target: Target, _: Progress, *, name: str) -> list[dict[str, Any]]:
    return _describe_removals(target.image_removal.plan(name))


def _describe_removals(removals: Iterable[Removal]) -> list[dict[str, Any]]:
    return [
        {
            "name": removal.image.name,
            "version": removal.image.version,
            "kept_for": removal.kept,
            "copies_left_on": list(removal.later),
            "freed_bytes": removal.freed,
        }
        for removal in removals
    ]


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
    "autologin": bool,
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


def _list_feed(target: Target, _: Progress, *, user: str | None) -> list[dict[str, Any]]:
    """The feed that an account sees; without one all of it, with what is not shown."""
    feed = target.publishing.list_resources()
    if user is not None:
        feed = target.publishing.list_feed(target.access.get_person(user))
    return [_describe_resource(one) for one in feed.resources]


def _describe_resource(resource: Resource) -> dict[str, Any]:
    icon = resource.icon and hashlib.sha256(resource.icon).hexdigest()
    return asdict(resource) | {"icon": icon, "modified": resource.modified.isoformat()}


def _list_available(
    target: Target, _: Progress, *, collection: str, desktop: str | None
) -> dict[str, Any]:
    """What is installed in a running desktop of the collection, and which it was."""
    return asdict(target.installed_applications.list(collection, desktop))


def _list_entries(target: Target, _: Progress, *, alias: str) -> list[dict[str, Any]]:
    return [asdict(entry) for entry in target.access.list_entries(alias)]


def _judge_user(target: Target, _: Progress, *, alias: str, user: str) -> dict[str, Any]:
    return asdict(target.access.may_use(alias, target.access.get_person(user)))


def _make_descriptor(target: Target, _: Progress, *, names: Sequence[str]) -> str:
    return target.access.make_descriptor(names)


COMMANDS: Mapping[str, Callable[..., Any]] = {
    "application available": _list_available,
    "audit log": audit.read_log,
    "audit findings": audit.list_set_apart,
    "audit orphans": audit.find_orphans,
    "audit verify": audit.verify_log,
    "collection descriptor": _make_descriptor,
    "collection entries": _list_entries,
    "collection verdict": _judge_user,
    "feed": _list_feed,
    "certificate create": _create_certificate,
    "certificate import": _import_certificate,
    "certificate show": _show_certificate,
    "host forget": audit.forget_host,
    "host list": hosts.list_hosts,
    "host plan-drain": hosts.plan_drain,
    "host plan-forgetting": hosts.plan_forgetting,
    "host screenshot": _take_screenshot,
    "host set": hosts.set_host,
    "image build": _build_image,
    "image diff": _compare_images,
    "image import": _import_image,
    "image list": _list_images,
    "image plan-removal": _plan_removal,
    "image remove": _remove_image,
    "user add": users.add_user,
    "user list": users.list_users,
    "user remove": users.remove_user,
    "user reset-second-factor": users.reset_second_factor,
    "user set": users.change_user,
    "user show": users.show_user,
}
"""By name; called with the target, the progress and the request's arguments by keyword."""

AUDITED = frozenset(
    {
        "certificate create",
        "certificate import",
        "host forget",
        "host screenshot",
        "host set",
        "image build",
        "image import",
        "image remove",
        "user add",
        "user remove",
        "user reset-second-factor",
        "user set",
    }
)
"""Those that change something, or look at what a user has on the screen."""
