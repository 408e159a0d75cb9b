"""``rdms collection config|set``: what users of a collection get."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from lxml import etree

from openrdms.cim.types import CimValue
from openrdms.cli import access, property_options
from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.output import Facts, Result, Words
from openrdms.cli.rdms_client import RdmsClient, Values
from openrdms.model.collection import CollectionType

CLASS = "Win32_RDMSVirtualDesktopCollection"
SETTINGS: property_options.Options = {
    "redirect": property_options.number("DeviceRedirectionOptions"),
    "monitors": property_options.choice("MaxMonitors", one=1, all=2),
    "printer": property_options.switch("RedirectClientPrinter"),
    "custom-rdp": property_options.text("CustomRdpProperty"),
}
DEFAULTS = property_options.parse(SETTINGS, ("redirect=187", "monitors=all", "printer=on"))
"""What the stock module sets on each collection that it makes (facts b.1)."""
_MINUTE_MS = 60_000
_GIB = 1 << 30
TYPES = {
    "pooled": CollectionType.POOLED,
    "personal": CollectionType.MANUAL_PERSONAL,
    "auto-personal": CollectionType.AUTO_PERSONAL,
}
WORDS: Words = {"Type": {int(number): word for word, number in TYPES.items()}}
_PERSONAL = {"personal": 2, "auto-personal": 3}

Alias = Annotated[str, typer.Argument(help="Alias of the collection.")]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME=VALUE...", help=property_options.describe(SETTINGS)),
]
Flag = Annotated[bool | None, typer.Option()]


def add_commands(group: typer.Typer) -> None:
    """Add ``config``, ``set`` and ``profile-disks`` to the collection group."""
    command(group, "config", opens=open_rdms)(show_config)
    command(group, "set", opens=open_rdms)(change)
    command(group, "profile-disks", opens=open_rdms)(set_profile_disks)


def show_config(rdms: RdmsClient, alias: Alias) -> Result:
    """Show settings of a collection: access, saving, devices, profile disks."""
    instance = rdms.get(CLASS, {"Alias": alias})
    farm = _metadata(_parse_farm(instance))
    documents = ("VmFarmSettings", "UserVHDSetting")
    shown = {name: value for name, value in instance.items() if name not in documents}
    settings = {
        "save-delay (minutes)": int(farm["SaveDelay"]) // _MINUTE_MS,
        "profile disks": farm.get("UvhdShareUrl", "") or "off",
        "profile disk size (GB)": _find_disk_size(instance),
        **property_options.read(rdms, CLASS, {"Alias": alias}, SETTINGS),
    }
    return Facts({**shown, **settings}, WORDS)


def change(
    rdms: RdmsClient,
    alias: Alias,
    settings: Settings = None,
    name: Annotated[str | None, typer.Option(help="Name that users see.")] = None,
    description: Annotated[str | None, typer.Option(help="For administrators.")] = None,
    kind: Annotated[str | None, typer.Option("--type", help=", ".join(_PERSONAL))] = None,
    portal: Annotated[bool | None, typer.Option(help="Show its desktops to users.")] = None,
    user_admin: Annotated[bool | None, typer.Option(help="Users administer theirs.")] = None,
    rollback: Annotated[bool | None, typer.Option(help="Reset desktops after use.")] = None,
    security_descriptor: Annotated[str | None, typer.Option(help="SDDL: who may use it.")] = None,
    user_group: access.UserGroups = None,
    state_dir: access.StateDir = None,
    icon: Annotated[Path | None, typer.Option(help="File with an icon.")] = None,
    save_delay: Annotated[
        int | None, typer.Option(min=0, help="Minutes until an idle desktop is saved.")
    ] = None,
) -> Result:
    """Change a collection; what is not given stays."""
    values = property_options.parse(SETTINGS, settings or ())
    if kind is not None and kind not in _PERSONAL:
        raise typer.BadParameter(f"--type changes between {' and '.join(_PERSONAL)}")
    if user_group:
        security_descriptor = access.make_descriptor(user_group, state_dir)
    properties: dict[str, CimValue] = {
        "Name": name,
        "CollectionDescription": description,
        "Type": None if kind is None else _PERSONAL[kind],
        "ShowInPortal": portal,
        "IsUserAdmin": user_admin,
        "RollbackEnabled": rollback,
        "SecurityDescriptor": security_descriptor,
        "IconContents": list(icon.read_bytes()) if icon else None,
    }
    changes = {key: value for key, value in properties.items() if value is not None}
    if save_delay is not None:
        farm = _parse_farm(rdms.get(CLASS, {"Alias": alias}))
        _set_metadata(farm, {"SaveDelay": str(save_delay * _MINUTE_MS)})
        changes["VmFarmSettings"] = _render(farm)
    if changes:
        rdms.put(CLASS, {"Alias": alias}, changes)
    property_options.write(rdms, CLASS, {"Alias": alias}, values)
    return None


def set_profile_disks(
    rdms: RdmsClient,
    alias: Alias,
    share: Annotated[str, typer.Argument(help="Where the disks are; '' switches them off.")],
    size: Annotated[int, typer.Option(min=1, max=9999, help="GB each.")] = 40,
    policy: Annotated[
        Path | None, typer.Option(help="UvhdRoamingPolicy document: what they hold.")
    ] = None,
) -> Result:
    """Say where the profile disks of a collection's users are."""
    farm = _parse_farm(rdms.get(CLASS, {"Alias": alias}))
    settings = {"UvhdProfRoamingEnabled": "true" if share else "false", "UvhdShareUrl": share}
    if policy:
        settings["UvhdProfRoamingPolicy"] = policy.read_text(encoding="utf-8")
    _set_metadata(farm, settings)
    disk = f"<UVHDTemplateSetting><DiskSize>{size * _GIB}</DiskSize></UVHDTemplateSetting>"
    changes = {"VmFarmSettings": _render(farm), "UserVHDSetting": disk}
    rdms.put(CLASS, {"Alias": alias}, changes)
    return None


def _parse_farm(instance: Values) -> etree._Element:
    """The VmFarmSettings document, which every collection has."""
    return etree.fromstring(str(instance["VmFarmSettings"]).encode())


def _find_disk_size(instance: Values) -> int | None:
    """GB of each profile disk, from the UserVHDSetting document; None before it is set."""
    document = instance["UserVHDSetting"]
    size = etree.fromstring(str(document).encode()).findtext("DiskSize") if document else None
    return int(size) // _GIB if size else None


def _metadata(farm: etree._Element) -> dict[str, str]:
    return {item.get("Name", ""): item.get("Value", "") for item in farm.iter("Metadata")}


def _set_metadata(farm: etree._Element, values: dict[str, str]) -> None:
    """Change values in place, as stock clients do: what else is there stays."""
    for name, value in values.items():
        found = [item for item in farm.iter("Metadata") if item.get("Name") == name]
        item = found[0] if found else etree.SubElement(farm, "Metadata", Name=name)
        item.set("Value", value)


def _render(farm: etree._Element) -> str:
    return etree.tostring(farm, encoding="unicode")
