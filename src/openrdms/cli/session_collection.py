"""``rdms session-collection``: collections of session hosts (RDSH) and their servers."""

from __future__ import annotations

from typing import Annotated

import typer

from openrdms.cli import property_options
from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.output import Document, Listing, Result, Words
from openrdms.cli.rdms_client import Fault, RdmsClient, quote
from openrdms.model.session_host import ServerState

CLASS = "Win32_RDSHCollection"
SERVER = "Win32_RDSHServer"
COLUMNS = ("Alias", "Name", "Type", "Description")
_TYPES = {"pooled": 0, "personal": 4, "auto-personal": 5}
SETTINGS: property_options.Options = {
    "disconnected-limit": property_options.minutes("DisconnectedSessionLimit"),
    "active-limit": property_options.minutes("ActiveSessionLimit"),
    "idle-limit": property_options.minutes("IdleSessionLimit"),
    "broken-connection": property_options.choice(
        "BrokenConnectionAction", "none", "disconnect", "logoff"
    ),
    "reconnect": property_options.switch("EnableAutomaticReconnection"),
    "delete-temp-folders": property_options.switch("DeleteTempFoldersOnExit"),
    "temp-folders-per-session": property_options.switch("UseTempFoldersPerSession"),
    "nla": property_options.switch("AuthenticateUsingNLA"),
    "encryption": property_options.choice(
        "EncryptionLevel", "none", "low", "client", "high", "fips"
    ),
    "security-layer": property_options.choice("SecurityLayer", "rdp", "negotiate", "tls"),
    "redirect": property_options.number("DeviceRedirectionOptions"),
    "monitors": property_options.number("MaxMonitors"),
    "printer": property_options.switch("RedirectClientPrinter"),
    "easy-print": property_options.switch("UseRDEasyPrintDriver"),
    "default-printer": property_options.switch("SetClientPrinterAsDefault"),
    "user-admin": property_options.switch("IsUserAdmin"),
    "profile-share": property_options.text("UserVHDShare"),
    "profile-disk-mb": property_options.number("DiskSizeInMB"),
    "profile-policy": property_options.text("UserPolicyXML"),
    "profile-disks": property_options.switch("IsUserVHDEnabled"),
    "security-descriptor": property_options.text("SecurityDescriptor"),
}
SERVER_SETTINGS: property_options.Options = {
    "new-sessions": property_options.choice("DrainMode", "yes", "after-reboot", "no"),
    "weight": property_options.number("RelativeWeight"),
    "session-limit": property_options.number("SessionLimit"),
}
SERVER_COLUMNS = ("Name", "CollectionAlias", "ServerState", *SERVER_SETTINGS)
WORDS: Words = {
    "Type": {number: word for word, number in _TYPES.items()},
    "ServerState": {int(state): state.name.lower() for state in ServerState},
}

group = typer.Typer(help="Session collections (RDSH): collections, settings, session hosts.")

Alias = Annotated[str, typer.Argument(help="Alias of the collection.")]
Server = Annotated[str, typer.Argument(metavar="SERVER", help="Full name of the session host.")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME=VALUE...", help=property_options.describe(SETTINGS)),
]
ServerSettings = Annotated[
    list[str],
    typer.Argument(metavar="NAME=VALUE...", help=property_options.describe(SERVER_SETTINGS)),
]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="session-collection")


@command(group, "list", opens=open_rdms)
def list_collections(rdms: RdmsClient) -> Result:
    """List session collections."""
    return Listing(list(rdms.enumerate(CLASS)), COLUMNS, WORDS)


@command(group, "show", opens=open_rdms)
def show(rdms: RdmsClient, alias: Alias) -> Result:
    """Show a collection with its settings and servers."""
    instance = rdms.get(CLASS, {"Alias": alias})
    facts = instance | property_options.read(rdms, CLASS, {"Alias": alias}, SETTINGS)
    servers = _list_servers(rdms, alias)
    return Document({**facts, "Servers": servers}, facts, servers, SERVER_COLUMNS, WORDS)


@command(group, "create", opens=open_rdms)
def create(
    rdms: RdmsClient,
    name: Annotated[str, typer.Argument(help="Name that users see.")],
    server: Annotated[list[str] | None, typer.Option(help="A session host; repeatable.")] = None,
    alias: Annotated[str, typer.Option(help="Alias; the name when not given.")] = "",
    kind: Annotated[str, typer.Option("--type", help=", ".join(_TYPES))] = "pooled",
    description: Annotated[str, typer.Option(help="For administrators.")] = "",
) -> Result:
    """Create a session collection of these hosts."""
    if kind not in _TYPES:
        raise typer.BadParameter(f"--type is one of {', '.join(_TYPES)}")
    keys = rdms.create(
        CLASS,
        {
            "Alias": alias or name,
            "Name": name,
            "Type": _TYPES[kind],
            "Description": description or None,
        },
    )
    created = str(keys["Alias"])
    try:
        for one in server or ():
            _place_server(rdms, one, created)
    except Fault:
        _empty(rdms, created)
        rdms.delete(CLASS, {"Alias": created})
        raise
    return keys


@command(group, "set", opens=open_rdms)
def change(
    rdms: RdmsClient,
    alias: Alias,
    settings: Settings = None,
    name: Annotated[str | None, typer.Option(help="Name that users see.")] = None,
    description: Annotated[str | None, typer.Option(help="For administrators.")] = None,
) -> Result:
    """Change a collection; what is not given stays."""
    values = property_options.parse(SETTINGS, settings or ())
    properties = {"Name": name, "Description": description}
    given = {key: value for key, value in properties.items() if value is not None}
    if given:
        rdms.put(CLASS, {"Alias": alias}, given)
    property_options.write(rdms, CLASS, {"Alias": alias}, values)
    return None


@command(group, "delete", opens=open_rdms)
def delete(
    rdms: RdmsClient,
    alias: Alias,
    servers: Annotated[
        bool, typer.Option("--servers", help="Take its servers out of it first.")
    ] = False,
) -> Result:
    """Delete a session collection."""
    if servers:
        _empty(rdms, alias)
    rdms.delete(CLASS, {"Alias": alias})
    return None


@command(group, "servers", opens=open_rdms)
def list_servers(
    rdms: RdmsClient,
    collection: Annotated[str, typer.Option(help="Only those of this collection.")] = "",
) -> Result:
    """List session hosts and their settings."""
    return Listing(_list_servers(rdms, collection), SERVER_COLUMNS, WORDS)


@command(group, "add-server", opens=open_rdms)
def add_server(rdms: RdmsClient, alias: Alias, server: Server) -> Result:
    """Make a server a session host of a collection."""
    _place_server(rdms, server, rdms.get(CLASS, {"Alias": alias})["Alias"])
    return None


@command(group, "set-server", opens=open_rdms)
def change_server(rdms: RdmsClient, server: Server, settings: ServerSettings) -> Result:
    """Change how a session host takes sessions."""
    values = property_options.parse(SERVER_SETTINGS, settings)
    property_options.write(rdms, SERVER, {"Name": server}, values)
    return None


@command(group, "remove-server", opens=open_rdms)
def remove_server(rdms: RdmsClient, server: Server) -> Result:
    """Take a session host out of the deployment's collections."""
    rdms.delete(SERVER, {"Name": server})
    return None


def _place_server(rdms: RdmsClient, name: str, alias: object) -> None:
    """Whether or not the server is known already."""
    known = list(rdms.enumerate(SERVER, f"Name = {quote(name)}"))
    if known:
        rdms.put(SERVER, {"Name": name}, {"CollectionAlias": str(alias)})
    else:
        rdms.create(SERVER, {"Name": name, "CollectionAlias": str(alias)})


def _empty(rdms: RdmsClient, alias: str) -> None:
    """Take its servers out of a collection."""
    for one in _list_servers(rdms, alias):
        rdms.put(SERVER, {"Name": str(one["Name"])}, {"CollectionAlias": ""})


def _list_servers(rdms: RdmsClient, alias: str) -> list[dict[str, object]]:
    where = f"CollectionAlias = {quote(alias)}" if alias else ""
    servers = list(rdms.enumerate(SERVER, where))
    return [
        {**one, **property_options.read(rdms, SERVER, {"Name": one["Name"]}, SERVER_SETTINGS)}
        for one in servers
    ]
