"""``rdms collection``: collections of virtual desktops, and the jobs that fill and change them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

import typer

from openrdms.cim.types import CimValue
from openrdms.cli import access, collection_settings, collection_update, property_options
from openrdms.cli.collection_settings import DEFAULTS, TYPES, WORDS
from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.job import Wait, find_update, submit, submit_or_plan, wait_for
from openrdms.cli.job_plan import DryRun, ask_plan, show_plan
from openrdms.cli.output import Facts, Listing, Result, Row
from openrdms.cli.rdms_client import RdmsClient, Refused, Values
from openrdms.model.collection import CollectionState, CollectionType
from openrdms.model.errors import WbemCode
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import HostAllocation, JobDocument, OnError, render_job

CLASS = "Win32_RDMSVirtualDesktopCollection"
DESKTOP = "Win32_RDMSVirtualDesktop"
PROPERTIES = "Win32_RDMSCollectionProperties"
COLUMNS = ("Alias", "Name", "Type", "IsManaged", "CollectionDescription")

group = typer.Typer(help="Collections of desktops: create, extend, recreate, delete.")

Alias = Annotated[str, typer.Argument(help="Alias of the collection.")]
Count = Annotated[int, typer.Option(min=0, help="Desktops on hosts that the service chooses.")]
OnHosts = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="HOST=N", help="That many desktops on that host; repeatable."),
]
Image = Annotated[
    str, typer.Option(help="image:NAME, image:NAME@VERSION, a disk file or an export's location.")
]
Name = Annotated[str, typer.Argument(help="Name that users see.")]
NewAlias = Annotated[str, typer.Option(help="Alias; the name when not given.")]
Kind = Annotated[str, typer.Option("--type", help=", ".join(TYPES))]
Description = Annotated[str, typer.Option(help="For administrators.")]
Continue = Annotated[bool, typer.Option("--continue-on-error", help="Go on when a desktop fails.")]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    collection_settings.add_commands(group)
    access.add_commands(group)
    collection_update.add_commands(group)
    app.add_typer(group, name="collection")


@command(group, "list", opens=open_rdms)
def list_collections(rdms: RdmsClient) -> Result:
    """List collections."""
    return Listing(list(rdms.enumerate(CLASS)), COLUMNS, WORDS)


@command(group, "show", opens=open_rdms)
def show(rdms: RdmsClient, alias: Alias) -> Result:
    """Show a collection, its state and how its desktops are made."""
    instance = rdms.get(CLASS, {"Alias": alias})
    state = rdms.invoke(CLASS, "GetInt32Property", {"Alias": alias}, Key="CollectionState")
    job = rdms.invoke(CLASS, "GetStringProperty", {"Alias": alias}, Key="ProvisioningJobId")
    made = _find_provisioning(rdms, alias)
    name = CollectionState(int(str(state["Value"]))).name
    update = find_update(rdms, alias)
    facts = {"CollectionState": name, "ProvisioningJobId": job["Value"]}
    return Facts({**instance, **facts, **update, **made}, WORDS)


@command(group, "create", opens=open_rdms)
def create(
    rdms: RdmsClient,
    name: Name,
    image: Image,
    count: Count = 0,
    host: OnHosts = None,
    alias: NewAlias = "",
    prefix: Annotated[str, typer.Option(help="Prefix of desktop names; made of the alias.")] = "",
    kind: Kind = "pooled",
    description: Description = "",
    domain: Annotated[str, typer.Option(help="Domain that desktops are meant for.")] = "",
    user_group: access.UserGroups = None,
    state_dir: access.StateDir = None,
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Leave the desktops defined and off.")
    ] = True,
    continue_on_error: Continue = False,
    wait: Wait = False,
    dry_run: DryRun = False,
) -> Result:
    """Create a managed collection and start the job that fills it."""
    alias = alias or name
    pooled = _collection_type(kind) is CollectionType.POOLED
    descriptor = access.make_descriptor(user_group, state_dir) if user_group else None
    document = JobDocument(
        action=JobAction.CREATE,
        on_error=_on_error(continue_on_error),
        collection=alias,
        disk_kind=DiskKind.LINKED if pooled else DiskKind.FULL,
        base_vm_location=image,
        name_prefix=prefix or _derive_prefix(alias),
        domain=domain,
        hosts=_allocate(count, host or []),
        start=start,
    )
    if dry_run:
        return show_plan(rdms, render_job(document), new=True)
    instance = _describe(alias, name, kind, description, descriptor)
    instance |= {"IsManaged": True, "RollbackEnabled": pooled}
    return {"Alias": alias, **_create(rdms, instance, document, wait=wait)}


@command(group, "adopt", opens=open_rdms)
def adopt(
    rdms: RdmsClient,
    name: Name,
    vm: Annotated[list[str], typer.Argument(help="VMs that are in no collection.")],
    alias: NewAlias = "",
    kind: Kind = "pooled",
    description: Description = "",
    user_group: access.UserGroups = None,
    state_dir: access.StateDir = None,
) -> Result:
    """Create an unmanaged collection of existing VMs."""
    alias = alias or name
    descriptor = access.make_descriptor(user_group, state_dir) if user_group else None
    instance = _describe(alias, name, kind, description, descriptor)
    rdms.create(CLASS, {**instance, "IsManaged": False})
    try:
        for member in vm:
            rdms.invoke(CLASS, "AddVirtualDesktop", {"Alias": alias}, VMName=member)
    except Refused:
        _let_go(rdms, alias)
        rdms.delete(CLASS, {"Alias": alias})
        raise
    property_options.write(rdms, CLASS, {"Alias": alias}, DEFAULTS)
    return {"Alias": alias}


@command(group, "extend", opens=open_rdms)
def extend(
    rdms: RdmsClient,
    alias: Alias,
    count: Count = 0,
    host: OnHosts = None,
    continue_on_error: Continue = False,
    wait: Wait = False,
    dry_run: DryRun = False,
) -> Result:
    """Start a job that adds desktops, made as the ones before."""
    hosts = _allocate(count, host or [])
    on_error = _on_error(continue_on_error)
    document = collection_update.make_document(rdms, alias, JobAction.UPDATE, on_error, hosts=hosts)
    return submit_or_plan(rdms, render_job(document), wait=wait, dry_run=dry_run)


@command(group, "recreate", opens=open_rdms)
def recreate(
    rdms: RdmsClient,
    alias: Alias,
    image: Image,
    continue_on_error: Continue = False,
    wait: Wait = False,
    dry_run: DryRun = False,
) -> Result:
    """Start a job that makes all desktops anew from an image."""
    on_error = _on_error(continue_on_error)
    document = collection_update.make_document(rdms, alias, JobAction.PATCH, on_error, image=image)
    return submit_or_plan(rdms, render_job(document), wait=wait, dry_run=dry_run)


@command(group, "delete-desktops", opens=open_rdms)
def delete_desktops(
    rdms: RdmsClient,
    alias: Alias,
    name: Annotated[list[str] | None, typer.Argument(help="Desktops; all when none.")] = None,
    wait: Wait = False,
    dry_run: DryRun = False,
) -> Result:
    """Start a job that deletes desktops of a collection."""
    return submit_or_plan(rdms, _deletion(alias, name or ()), wait=wait, dry_run=dry_run)


@command(group, "delete", opens=open_rdms)
def delete(
    rdms: RdmsClient,
    alias: Alias,
    desktops: Annotated[
        bool, typer.Option("--desktops", help="Delete its desktops first, and wait for that.")
    ] = False,
    dry_run: DryRun = False,
) -> Result:
    """Delete a collection; a managed one only when it has no desktops."""
    if dry_run:
        if desktops:
            return show_plan(rdms, _deletion(alias))
        return ask_plan(rdms, "PlanDeletion", CollectionAlias=alias)
    if desktops:
        submit(rdms, _deletion(alias), wait=True)
        _let_go(rdms, alias)
    rdms.delete(CLASS, {"Alias": alias})
    return None


@command(group, "add-desktop", opens=open_rdms)
def add_desktop(rdms: RdmsClient, alias: Alias, vm: str) -> Result:
    """Make an existing VM a desktop of a collection."""
    rdms.invoke(CLASS, "AddVirtualDesktop", {"Alias": alias}, VMName=vm)
    return None


@command(group, "remove-desktop", opens=open_rdms)
def remove_desktop(rdms: RdmsClient, alias: Alias, vm: str) -> Result:
    """Take a desktop out of a collection; the VM stays."""
    rdms.invoke(CLASS, "RemoveVirtualDesktop", {"Alias": alias}, VMName=vm)
    return None


def _describe(
    alias: str, name: str, kind: str, description: str, descriptor: str | None
) -> dict[str, CimValue]:
    """What new collections of both kinds have."""
    return {
        "Alias": alias,
        "Name": name,
        "Type": int(_collection_type(kind)),
        "CollectionDescription": description or None,
        "SecurityDescriptor": descriptor,
        "ShowInPortal": True,
        "IsHA": False,
        "IsUserAdmin": False,
    }


def _find_provisioning(rdms: RdmsClient, alias: str) -> Row:
    """How the collection's desktops are made; nothing before its first Create job."""
    try:
        return rdms.invoke(PROPERTIES, "GetProvisioningProperties", {"Alias": alias})
    except Refused as refusal:
        if refusal.return_value != WbemCode.NOT_FOUND:
            raise
        return {}


def _derive_prefix(alias: str) -> str:
    """The alias as far as the names of hosts may have it, and a hyphen."""
    return f"{'-'.join(re.findall('[A-Za-z0-9]+', alias))}-"


def _let_go(rdms: RdmsClient, alias: str) -> None:
    """Take membership from what no job deletes: adopted VMs."""
    for desktop in list(rdms.enumerate(DESKTOP)):
        if str(desktop["CollectionAlias"]).casefold() == alias.casefold():
            rdms.invoke(CLASS, "RemoveVirtualDesktop", {"Alias": alias}, VMName=desktop["Name"])


def _create(rdms: RdmsClient, instance: Values, document: JobDocument, *, wait: bool) -> Row:
    """Create the collection and submit its job; without the job there is no collection either."""
    rdms.create(CLASS, instance)
    try:
        property_options.write(rdms, CLASS, {"Alias": document.collection}, DEFAULTS)
        job = submit(rdms, render_job(document), wait=False)
    except Refused:
        rdms.delete(CLASS, {"Alias": document.collection})
        raise
    return wait_for(rdms, str(job["JobGuid"])) if wait else job


def _on_error(goes_on: bool) -> OnError:
    return OnError.CONTINUE if goes_on else OnError.STOP


def _deletion(alias: str, names: Iterable[str] = ()) -> str:
    """A job that deletes those desktops, or all."""
    document = JobDocument(
        action=JobAction.DELETE,
        on_error=OnError.CONTINUE,
        collection=alias,
        disk_kind=DiskKind.LINKED,
        selected=tuple(names),
    )
    return render_job(document)


def _collection_type(kind: str) -> CollectionType:
    try:
        return TYPES[kind]
    except KeyError:
        raise typer.BadParameter(f"--type is one of {', '.join(TYPES)}") from None


def _allocate(count: int, hosts: list[str]) -> tuple[HostAllocation, ...]:
    """What --count and --host ask for together."""
    allocations = [HostAllocation("", count)] if count else []
    for text in hosts:
        name, _, number = text.rpartition("=")
        if not name or not number.isdecimal():
            raise typer.BadParameter(f"--host {text!r} is not HOST=N")
        allocations.append(HostAllocation(name, int(number)))
    if not allocations:
        raise typer.BadParameter("how many desktops? Give --count or --host")
    return tuple(allocations)
