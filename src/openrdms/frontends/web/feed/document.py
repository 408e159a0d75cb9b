"""The XML resource list (MS-TSWP 2.2.1), in schema versions 1.1 and 2.1."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from openrdms.model.publishing import Resource, ResourceKind

NAMESPACE = "http://schemas.microsoft.com/ts/2007/05/tswf"
OLD, NEW = "1.1", "2.1"
"""2.1 has folders; who does not ask for schema 2.0 gets 1.1 (2.2.5)."""

_ROOT_FOLDER = "/"
_TYPES = {ResourceKind.APPLICATION: "RemoteApp", ResourceKind.DESKTOP: "Desktop"}
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Publisher:
    """Who publishes: the name that users see, and the server's full name, which is the ID."""

    name: str
    server: str


def resource_id(resource: Resource) -> str:
    """The same for a resource every time, and another one for each."""
    key = f"{resource.collection}\n{resource.application}".casefold()
    return hashlib.sha256(key.encode()).hexdigest()[:40]


def render(
    publisher: Publisher,
    resources: Sequence[Resource],
    version: str,
    link: Callable[[Resource, str], str],
    has_picture: Callable[[Resource], bool],
) -> bytes:
    """The list. ``link`` gives the address of what is .rdp, .ico or .png of a resource;
    ``has_picture`` says whether there is a .png.
    """
    changed = _time(max((one.modified for one in resources), default=_NEVER))
    about = {"PubDate": changed, "SchemaVersion": version}
    spaces = {None: NAMESPACE}  # the default, which lxml's types do not know
    root = etree.Element(_name("ResourceCollection"), about, nsmap=spaces)  # type: ignore[arg-type]
    about = {"LastUpdated": changed, "Name": publisher.name, "ID": publisher.server}
    whole = _add(root, "Publisher", **about, Description="")
    if version == NEW:
        whole.set("SupportsReconnect", "false")
        folders = _add(whole, "SubFolders")
        for name in sorted({_folder(one) for one in resources} - {_ROOT_FOLDER}):
            _add(folders, "Folder", Name=name)
    listed = _add(whole, "Resources")
    for one in resources:
        _add_resource(listed, one, version, publisher.server, link, has_picture)
    server = {"ID": publisher.server, "Name": publisher.server, "LastUpdated": changed}
    _add(_add(whole, "TerminalServers"), "TerminalServer", **server)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8"))


def _add_resource(
    listed: etree._Element,
    resource: Resource,
    version: str,
    server: str,
    link: Callable[[Resource, str], str],
    has_picture: Callable[[Resource], bool],
) -> None:
    key = resource_id(resource)
    element = _add(
        listed,
        "Resource",
        ID=key,
        Alias=key,
        Title=resource.title,
        LastUpdated=_time(resource.modified),
        Type=_TYPES[resource.kind],
    )
    icons = _add(element, "Icons")
    _add(icons, "IconRaw", FileType="Ico", FileURL=link(resource, "ico"))
    if has_picture(resource):
        picture = {"Dimensions": "32x32", "FileType": "Png", "FileURL": link(resource, "png")}
        _add(icons, "Icon32", **picture)
    extensions = _add(element, "FileExtensions")
    for name in resource.file_types:
        _add(extensions, "FileExtension", Name=name)
    if version == NEW:
        element.set("ShowByDefault", "true")
        _add(_add(element, "Folders"), "Folder", Name=_folder(resource))
    hosting = _add(_add(element, "HostingTerminalServers"), "HostingTerminalServer")
    _add(hosting, "ResourceFile", FileExtension=".rdp", URL=link(resource, "rdp"))
    _add(hosting, "TerminalServerRef", Ref=server)


def _folder(resource: Resource) -> str:
    return _ROOT_FOLDER + (resource.folder or "")


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _name(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _add(parent: etree._Element, name: str, /, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, _name(name), attributes)
