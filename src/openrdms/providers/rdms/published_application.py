"""Win32_RDMSPublishedApplication."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openrdms.model import errors
from openrdms.model.publishing import Application, CommandLine
from openrdms.providers.service_provider import ServiceProvider, Where
from openrdms.providers.values import (
    Values,
    get_text,
    parse_created,
    parse_fields,
    parse_icon,
    render_icon,
    wanted_text,
)
from openrdms.services.publishing import Publishing

_FIELDS = {
    "AppAlias": "alias",
    "PoolName": "collection",
    "DisplayName": "name",
    "ShowInPortal": "show_in_portal",
    "SecurityDescriptor": "security_descriptor",
    "AppPath": "path",
    "VirtualPath": "virtual_path",
    "CommandLineSetting": "command_line_setting",
    "RequiredCommandLine": "required_command_line",
    "Folder": "folder",
    "IconPath": "icon_path",
    "IconIndex": "icon_index",
    "IconContents": "icon",
}
_NEEDED = ("AppAlias", "PoolName", "DisplayName", "AppPath")
_NULLABLE = frozenset(
    {"SecurityDescriptor", "RequiredCommandLine", "Folder", "IconPath", "IconContents"}
)


class PublishedApplication(ServiceProvider):
    """What collections of either kind publish. PoolName is a collection's alias (facts a.7)."""

    cim_class = "Win32_RDMSPublishedApplication"

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing

    def do_list(self, where: Where) -> Iterable[Values]:
        return map(_render, self._publishing.list_applications(wanted_text(where, "PoolName")))

    def do_get(self, keys: Values) -> Values:
        return _render(self._publishing.get_application(*_names(keys)))

    def do_create(self, properties: Values) -> Values:
        fields = _convert(parse_created(properties, _FIELDS, _NEEDED))
        made = self._publishing.publish(Application(**({"virtual_path": ""} | fields)))
        return {"AppAlias": made.alias, "PoolName": made.collection}

    def do_modify(self, keys: Values, changes: Values) -> None:
        fields = parse_fields(changes, _FIELDS, _NULLABLE)
        self._publishing.modify_application(*_names(keys), **_convert(fields))

    def do_delete(self, keys: Values) -> None:
        self._publishing.withdraw(*_names(keys))


def _names(keys: Values) -> tuple[str, str]:
    return get_text(keys, "PoolName"), get_text(keys, "AppAlias")


def _render(application: Application) -> Values:
    values = {name: getattr(application, field) for name, field in _FIELDS.items()}
    number = int(application.command_line_setting)
    return values | {
        "CommandLineSetting": number,
        "IconContents": render_icon(application.icon),
    }


def _convert(fields: dict[str, Any]) -> dict[str, Any]:
    if "command_line_setting" in fields:
        fields["command_line_setting"] = _parse_setting(fields["command_line_setting"])
    if "icon" in fields:
        fields["icon"] = parse_icon(fields["icon"])
    return fields


def _parse_setting(value: int) -> CommandLine:
    try:
        return CommandLine(value)
    except ValueError as error:
        raise errors.InvalidParameter("CommandLineSetting", f"{value} is not 0, 1 or 2") from error
