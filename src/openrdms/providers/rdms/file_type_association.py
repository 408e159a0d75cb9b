"""Win32_RDMSFileTypeAssociation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openrdms.model.publishing import FileType
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
    "AppAlias": "application",
    "PoolName": "collection",
    "ExtName": "extension",
    "ProgIdHint": "prog_id_hint",
    "IconPath": "icon_path",
    "IconIndex": "icon_index",
    "IconContents": "icon",
    "IsPrimaryHandler": "is_primary_handler",
    "IsPublished": "is_published",
}
_KEYS = ("PoolName", "AppAlias", "ExtName")
_NULLABLE = frozenset({"ProgIdHint", "IconPath", "IconContents"})


class FileTypeAssociation(ServiceProvider):
    """Files that published applications open."""

    cim_class = "Win32_RDMSFileTypeAssociation"
    set_by_create = frozenset({"ProgIdHint"})

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing

    def do_list(self, where: Where) -> Iterable[Values]:
        pool, application = wanted_text(where, "PoolName"), wanted_text(where, "AppAlias")
        return map(_render, self._publishing.list_file_types(pool, application))

    def do_get(self, keys: Values) -> Values:
        return _render(self._publishing.get_file_type(*_names(keys)))

    def do_create(self, properties: Values) -> Values:
        fields = _convert(parse_created(properties, _FIELDS, _KEYS))
        made = self._publishing.add_file_type(FileType(**fields))
        return {name: getattr(made, _FIELDS[name]) for name in _KEYS}

    def do_modify(self, keys: Values, changes: Values) -> None:
        fields = parse_fields(changes, _FIELDS, _NULLABLE)
        self._publishing.modify_file_type(*_names(keys), **_convert(fields))

    def do_delete(self, keys: Values) -> None:
        self._publishing.remove_file_type(*_names(keys))


def _names(keys: Values) -> tuple[str, str, str]:
    return get_text(keys, "PoolName"), get_text(keys, "AppAlias"), get_text(keys, "ExtName")


def _render(file_type: FileType) -> Values:
    values = {name: getattr(file_type, field) for name, field in _FIELDS.items()}
    return values | {"IconContents": render_icon(file_type.icon)}


def _convert(fields: dict[str, Any]) -> dict[str, Any]:
    if "icon" in fields:
        fields["icon"] = parse_icon(fields["icon"])
    return fields
