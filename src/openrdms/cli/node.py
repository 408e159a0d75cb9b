"""``rdms node``: the servers of the deployment and their roles."""

from __future__ import annotations

from typing import Annotated

import typer

from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.output import Listing, Result, Row
from openrdms.cli.rdms_client import RdmsClient

CLASS = "Win32_RDMSJoinedNode"
COLUMNS = ("FQDN", "OSVersion", "Roles")
ROLES = {
    "connection-broker": "IsRdcb",
    "virtualization-host": "IsRdvh",
    "session-host": "IsRdsh",
    "web-access": "IsRdwa",
    "gateway": "IsRdg",
    "licensing": "IsRdls",
}

group = typer.Typer(help="Servers of the deployment: list, join, unjoin, roles.")

Fqdn = Annotated[str, typer.Argument(metavar="FQDN", help="Full name of the server.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help=", ".join(ROLES))]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="node")


@command(group, "list", opens=open_rdms)
def list_nodes(rdms: RdmsClient, role: Roles = None) -> Result:
    """List servers; with --role those that have one of these."""
    wanted = _flags(role)
    nodes = [node for node in rdms.enumerate(CLASS) if not wanted or any(map(node.get, wanted))]
    return Listing([{**node, "Roles": _roles_of(node)} for node in nodes], COLUMNS)


@command(group, "join", opens=open_rdms)
def join(
    rdms: RdmsClient,
    fqdn: Fqdn,
    sid: Annotated[str, typer.Option(help="Its security identifier, where it has one.")] = "",
    role: Roles = None,
) -> Result:
    """Take a server into the deployment, after it was reached."""
    flags = _flags(role)
    rdms.invoke(CLASS, "Join", NodeFQDN=fqdn, NodeSID=sid)
    if flags:
        rdms.put(CLASS, {"FQDN": fqdn}, dict.fromkeys(flags, True))
    return None


@command(group, "set-roles", opens=open_rdms)
def set_roles(rdms: RdmsClient, fqdn: Fqdn, role: Roles = None) -> Result:
    """Give a server these roles and no others."""
    wanted = _flags(role)
    rdms.put(CLASS, {"FQDN": fqdn}, {flag: flag in wanted for flag in ROLES.values()})
    return None


@command(group, "unjoin", opens=open_rdms)
def unjoin(rdms: RdmsClient, fqdn: Fqdn) -> Result:
    """Take a server out of the deployment; refused while it carries desktops."""
    rdms.invoke(CLASS, "Unjoin", {"FQDN": fqdn})
    return None


def _flags(roles: list[str] | None) -> list[str]:
    unknown = [role for role in roles or () if role not in ROLES]
    if unknown:
        raise typer.BadParameter(f"--role {unknown[0]!r} is not one of {', '.join(ROLES)}")
    return [ROLES[role] for role in roles or ()]


def _roles_of(node: Row) -> list[str]:
    return [role for role, flag in ROLES.items() if node[flag]]
