"""``rdms deployment``: settings of the deployment as a whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from openrdms.cim.types import CimValue
from openrdms.cli import property_options
from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.output import Result
from openrdms.cli.rdms_client import Absent, RdmsClient

CLASS = "Win32_RDMSDeploymentSettings"
ENVIRONMENT = "Win32_RDMSEnvironment"
_PATHS = ("BaseVHDPath", "DiffVHDPath", "ExportPath", "SMBPath")
GATEWAY: property_options.Options = {
    "name": property_options.text("DeploymentGatewayName"),
    "logon": property_options.choice(
        "DeploymentGatewayAuthMode", **{"password": 0, "smart-card": 1, "later": 4}
    ),
    "cached-credentials": property_options.switch("DeploymentGatewayUseCachedCreds"),
    "usage": property_options.choice(
        "DeploymentGatewayUsage", "none", "bypass-local", "always", "automatic"
    ),
}
NAMES: property_options.Options = {
    "workspace": property_options.text("WorkspaceName"),
    "external-gateway": property_options.text("DeploymentExternalGatewayName"),
}
SHADOW: property_options.Options = {
    "shadow": property_options.choice("Shadow", none=0, view=4, control=2)
}
_SECRET = re.compile(r"(?i)\b(pwd|password)\s*=\s*[^;]*")

group = typer.Typer(help="The deployment: names, paths, gateway, database.")

Directory = Annotated[Path | None, typer.Option(help="Directory on the service's machine.")]
SecretFile = Annotated[
    Path | None, typer.Option(help="File with the connection string in its first line.")
]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="deployment")


@command(group, "show", opens=open_rdms)
def show(rdms: RdmsClient) -> Result:
    """Show all that is set."""
    shown: dict[str, object] = {
        "ActiveServer": rdms.invoke(ENVIRONMENT, "GetActiveServer")["ServerName"],
        "ClientAccessName": _ask(rdms, ENVIRONMENT, "GetClientAccessName"),
    }
    shown |= {name: _ask(rdms, CLASS, f"Get{name}") for name in _PATHS}
    shown |= property_options.read(rdms, CLASS, None, NAMES)
    shown |= property_options.read(rdms, CLASS, None, SHADOW)
    shown |= {
        f"gateway {name}": value
        for name, value in property_options.read(rdms, CLASS, None, GATEWAY).items()
    }
    for name in ("ConnectionString", "SecondaryConnectionString"):
        shown[name] = _masked(_ask(rdms, CLASS, f"Get{name}"))
    return shown


@command(group, "set", opens=open_rdms)
def change(
    rdms: RdmsClient,
    client_access_name: Annotated[str | None, typer.Option(help="Name clients use.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Name users see over their feed.")] = None,
    export_path: Directory = None,
    base_path: Directory = None,
    diff_path: Directory = None,
    shadow: Annotated[
        str | None,
        typer.Option(
            metavar="none|view|control",
            help="What staff may do with users' screens; users are told. Unset: control.",
        ),
    ] = None,
) -> Result:
    """Change names, paths and who may look over users' shoulders; what is not given stays."""
    if client_access_name is not None:
        rdms.invoke(ENVIRONMENT, "SetClientAccessName", ClientAccessName=client_access_name)
    if workspace is not None:
        property_options.write(rdms, CLASS, None, {"WorkspaceName": workspace})
    if shadow is not None:
        values = property_options.parse(SHADOW, [f"shadow={shadow}"])
        property_options.write(rdms, CLASS, None, values)
    paths = {"ExportPath": export_path, "BaseVHDPath": base_path, "DiffVHDPath": diff_path}
    for name, path in paths.items():
        if path is not None:
            rdms.invoke(CLASS, f"Set{name}", DirectoryPath=str(path.absolute()))
    return None


@command(group, "gateway", opens=open_rdms)
def set_gateway(
    rdms: RdmsClient,
    settings: Annotated[
        list[str],
        typer.Argument(metavar="NAME=VALUE...", help=property_options.describe(GATEWAY)),
    ],
) -> Result:
    """Say how clients use a gateway: with one of your own, all four settings are needed."""
    values = property_options.parse(GATEWAY, settings)
    custom = values.get("DeploymentGatewayUsage") in (1, 2)
    if custom and len(values) < len(GATEWAY):
        raise typer.BadParameter(f"a gateway of your own needs {', '.join(GATEWAY)}")
    property_options.write(rdms, CLASS, None, values)
    return None


@command(group, "activate", opens=open_rdms)
def activate(rdms: RdmsClient) -> Result:
    """Make the service that is asked the one that manages."""
    rdms.invoke(ENVIRONMENT, "SetActiveServer")
    return rdms.invoke(ENVIRONMENT, "GetActiveServer")


@command(group, "database", opens=open_rdms)
def set_database(
    rdms: RdmsClient,
    connection_file: SecretFile = None,
    secondary_file: SecretFile = None,
    no_secondary: Annotated[bool, typer.Option("--no-secondary", help="Drop it.")] = False,
) -> Result:
    """Change connection strings, read from files: they hold passwords."""
    if connection_file:
        rdms.invoke(CLASS, "SetConnectionString", ConnectionString=_first_line(connection_file))
    if secondary_file:
        text = _first_line(secondary_file)
        rdms.invoke(CLASS, "SetSecondaryConnectionString", SecondaryConnectionString=text)
    if no_secondary:
        rdms.invoke(CLASS, "RemoveDeploymentSetting", Key="DatabaseSecondaryConnectionString")
    return None


def _ask(rdms: RdmsClient, cls: str, method: str) -> CimValue:
    """The one out-parameter, None when it was never set."""
    try:
        [value] = rdms.invoke(cls, method).values()
    except Absent:
        return None
    return value


def _masked(value: CimValue) -> CimValue:
    return _SECRET.sub(r"\1=***", value) if isinstance(value, str) else value


def _first_line(file: Path) -> str:
    return file.read_text(encoding="utf-8").partition("\n")[0].removesuffix("\r")
