"""``rdms application``: applications that collections publish, and their file types."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from openrdms.cim.types import CimValue
from openrdms.cli.admin import AdminSession, open_admin
from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.output import Document, Facts, Listing, Result, Words
from openrdms.cli.rdms_client import RdmsClient, quote

CLASS = "Win32_RDMSPublishedApplication"
FILE_TYPE = "Win32_RDMSFileTypeAssociation"
MANAGEMENT = "Win32_RDMSManagementData"
COLUMNS = ("PoolName", "AppAlias", "DisplayName", "AppPath", "ShowInPortal", "Folder")
FILE_TYPE_COLUMNS = ("PoolName", "AppAlias", "ExtName", "IsPublished", "IsPrimaryHandler")
AVAILABLE_COLUMNS = ("name", "path", "arguments", "icon")
_COMMAND_LINE = {"no": 0, "yes": 1, "required": 2}
WORDS: Words = {"CommandLineSetting": {number: word for word, number in _COMMAND_LINE.items()}}

group = typer.Typer(help="Applications: what is installed and what is published.")

Collection = Annotated[str, typer.Argument(help="Alias of the collection.")]
Alias = Annotated[str, typer.Argument(metavar="APPLICATION", help="Alias of the application.")]
OfCollection = Annotated[str, typer.Option("--collection", help="Only those of this collection.")]
Portal = Annotated[bool | None, typer.Option(help="Show it to users.")]
Folder = Annotated[str | None, typer.Option(help="Folder in which users see it; '' for none.")]
Arguments = Annotated[str | None, typer.Option(help=f"May users add: {', '.join(_COMMAND_LINE)}.")]
CommandLine = Annotated[str | None, typer.Option(help="Arguments it is always started with.")]
Icon = Annotated[Path | None, typer.Option(help="File with its icon.")]
Descriptor = Annotated[
    str | None, typer.Option(help="SDDL: who sees it; '' for all who may use the collection.")
]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="application")


@command(group, "list", opens=open_rdms)
def list_applications(rdms: RdmsClient, collection: OfCollection = "") -> Result:
    """List published applications."""
    return Listing(list(rdms.enumerate(CLASS, _where(collection))), COLUMNS)


@command(group, "available", opens=open_admin)
def list_available(
    admin: AdminSession,
    collection: Collection,
    desktop: Annotated[
        str | None, typer.Option(help="Desktop to look into; any that runs when not given.")
    ] = None,
) -> Result:
    """List what is installed in a running desktop and could be published."""
    found = admin.run("application available", collection=collection, desktop=desktop)
    facts = {"desktop": found["desktop"]}
    return Document(found, facts, found["applications"], AVAILABLE_COLUMNS)


@command(group, "publish", opens=open_rdms)
def publish(
    rdms: RdmsClient,
    collection: Collection,
    name: Annotated[str, typer.Argument(help="Name that users see.")],
    path: Annotated[str, typer.Argument(help="Program in the desktops.")],
    alias: Annotated[str, typer.Option(help="Alias; the program's name when not given.")] = "",
    portal: Portal = None,
    folder: Folder = None,
    arguments: Arguments = None,
    command_line: CommandLine = None,
    icon: Icon = None,
    security_descriptor: Descriptor = None,
) -> Result:
    """Publish an application of a collection."""
    given = _properties(portal, folder, arguments, command_line, icon, security_descriptor)
    properties: dict[str, CimValue] = {
        "PoolName": collection,
        "AppAlias": alias or path.replace("\\", "/").rpartition("/")[2].partition(".")[0],
        "DisplayName": name,
        "AppPath": path,
        "ShowInPortal": True,
        "CommandLineSetting": 0,
    }
    return rdms.create(CLASS, {**properties, **given})


@command(group, "set", opens=open_rdms)
def change(
    rdms: RdmsClient,
    collection: Collection,
    alias: Alias,
    name: Annotated[str | None, typer.Option(help="Name that users see.")] = None,
    path: Annotated[str | None, typer.Option(help="Program in the desktops.")] = None,
    portal: Portal = None,
    folder: Folder = None,
    arguments: Arguments = None,
    command_line: CommandLine = None,
    icon: Icon = None,
    security_descriptor: Descriptor = None,
) -> Result:
    """Change an application; what is not given stays."""
    given = _properties(portal, folder, arguments, command_line, icon, security_descriptor)
    given |= {key: text for key, text in (("DisplayName", name), ("AppPath", path)) if text}
    return Facts(rdms.put(CLASS, _keys(collection, alias), given), WORDS)


@command(group, "remove", opens=open_rdms)
def remove(rdms: RdmsClient, collection: Collection, alias: Alias) -> Result:
    """Publish an application no longer; its file types go with it."""
    rdms.delete(CLASS, _keys(collection, alias))
    return None


@command(group, "file-types", opens=open_rdms)
def list_file_types(rdms: RdmsClient, collection: OfCollection = "") -> Result:
    """List the file types that applications open."""
    return Listing(list(rdms.enumerate(FILE_TYPE, _where(collection))), FILE_TYPE_COLUMNS)


@command(group, "set-file-type", opens=open_rdms)
def set_file_type(
    rdms: RdmsClient,
    collection: Collection,
    alias: Alias,
    extension: Annotated[str, typer.Argument(help="Such as .txt.")],
    publish: Annotated[bool, typer.Option(help="Users' files open with the application.")] = True,
    icon: Icon = None,
) -> Result:
    """Say whether files of a type open with an application."""
    keys = {**_keys(collection, alias), "ExtName": extension}
    changes: dict[str, CimValue] = {"IsPublished": publish}
    if icon:
        changes["IconContents"] = list(icon.read_bytes())
    where = " AND ".join(f"{key} = {quote(value)}" for key, value in keys.items())
    if list(rdms.enumerate(FILE_TYPE, where)):
        return rdms.put(FILE_TYPE, keys, changes)
    return rdms.create(FILE_TYPE, {**keys, **changes})


@command(group, "synchronise", opens=open_rdms)
def synchronise(
    rdms: RdmsClient,
    collection: Annotated[str, typer.Option(help="Only this collection's.")] = "",
) -> Result:
    """Make the feed of what users may open anew."""
    if collection:
        rdms.invoke(MANAGEMENT, "SynchronizePublishingData", Context=collection)
    else:
        rdms.invoke(MANAGEMENT, "SynchronizeAllPublishingData")
    return None


def _keys(collection: str, alias: str) -> dict[str, str]:
    return {"PoolName": collection, "AppAlias": alias}


def _where(collection: str) -> str:
    return f"PoolName = {quote(collection)}" if collection else ""


def _properties(
    portal: bool | None,
    folder: str | None,
    arguments: str | None,
    command_line: str | None,
    icon: Path | None,
    descriptor: str | None,
) -> dict[str, CimValue]:
    """What was given, by property. A blank means "none" to RDMS (facts a.7)."""
    if arguments is not None and arguments not in _COMMAND_LINE:
        raise typer.BadParameter(f"--arguments is one of {', '.join(_COMMAND_LINE)}")
    values: dict[str, CimValue] = {
        "ShowInPortal": portal,
        "Folder": folder,
        "CommandLineSetting": None if arguments is None else _COMMAND_LINE[arguments],
        "RequiredCommandLine": None if command_line is None else command_line or " ",
        "IconContents": list(icon.read_bytes()) if icon else None,
        "SecurityDescriptor": None if descriptor is None else descriptor or " ",
    }
    return {key: value for key, value in values.items() if value is not None}
