"""``rdms desktop``: virtual desktops and who they are assigned to."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.job_plan import DryRun, ask_plan
from openrdms.cli.output import Facts, Listing, NotYet, Result, Row, Words
from openrdms.cli.rdms_client import RDVH_MANAGEMENT, RdmsClient, quote
from openrdms.model.desktop import DesktopStatus
from openrdms.model.host import VmState

CLASS = "Win32_RDMSVirtualDesktop"
COLUMNS = (
    *("Name", "HostName", "CollectionAlias", "Status", "VMState"),
    *("SessionUserName", "UserName"),
)
WORDS: Words = {
    "VMState": {int(state): state.name.lower() for state in VmState},
    "Status": {int(status): status.name.lower() for status in DesktopStatus},
}

group = typer.Typer(help="Virtual desktops: list, start, pause, save, stop, move, assign, connect.")

_ASKED_SECONDS = 10
"""For so long one call waits: a request may take 30 s altogether."""

Name = Annotated[str, typer.Argument(help="Name of the desktop.")]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="desktop")


@command(group, "list", opens=open_rdms)
def list_desktops(
    rdms: RdmsClient,
    collection: Annotated[str, typer.Option(help="Only those of this collection.")] = "",
) -> Result:
    """List desktops."""
    where = f"CollectionAlias = {quote(collection)}" if collection else ""
    return Listing(list(rdms.enumerate(CLASS, where)), COLUMNS, WORDS)


@command(group, "show", opens=open_rdms)
def show_desktop(rdms: RdmsClient, name: Name) -> Result:
    """Show one desktop with its details."""
    details = rdms.invoke(CLASS, "GetVirtualDesktopDetails", {"Name": name})
    return Facts({**rdms.get(CLASS, {"Name": name}), **details}, WORDS)


@command(group, "start", opens=open_rdms)
def start(rdms: RdmsClient, name: Name) -> Result:
    """Let a desktop run: boot it, resume it when paused, restore it when saved."""
    _set_state(rdms, name, VmState.RUNNING)
    return None


@command(group, "pause", opens=open_rdms)
def pause(rdms: RdmsClient, name: Name) -> Result:
    """Let a desktop stand still; its memory stays in use."""
    _set_state(rdms, name, VmState.PAUSED)
    return None


@command(group, "save", opens=open_rdms)
def save(rdms: RdmsClient, name: Name) -> Result:
    """Write a desktop's memory to disk and stop it; start goes on from there."""
    _set_state(rdms, name, VmState.SAVED)
    return None


@command(group, "stop", opens=open_rdms)
def stop(rdms: RdmsClient, name: Name) -> Result:
    """Shut a desktop down, or switch it off; what was saved of it goes."""
    _set_state(rdms, name, VmState.STOPPED)
    return None


@command(group, "move", opens=open_rdms)
def move(
    rdms: RdmsClient,
    name: Name,
    host: Annotated[str, typer.Argument(help="The host where it is to go on.")],
    dry_run: DryRun = False,
) -> Result:
    """Move a desktop to another host that sees the same disks, while it runs."""
    if dry_run:
        return ask_plan(rdms, "PlanMove", VMName=name, DestinationHost=host)
    rdms.invoke(
        *(RDVH_MANAGEMENT, "RdvMigrateVmToDifferentHost"), DestinationHost=host, VmName=name
    )
    return None


@command(group, "assign", opens=open_rdms)
def assign(
    rdms: RdmsClient,
    name: Name,
    to: Annotated[str, typer.Option(help="The user, as DOMAIN\\NAME or NAME.")],
) -> Result:
    """Assign a desktop to a user."""
    domain, _, user = to.rpartition("\\")
    rdms.invoke(CLASS, "SetUserAssignment", {"Name": name}, UserName=user, UserDomain=domain)
    return None


@command(group, "unassign", opens=open_rdms)
def unassign(rdms: RdmsClient, name: Name) -> Result:
    """Take a desktop from its user."""
    rdms.invoke(CLASS, "RemoveUserAssignment", VMName=name)
    return None


@command(group, "connect", opens=open_rdms)
def connect(
    rdms: RdmsClient,
    collection: Annotated[str, typer.Argument(help="Alias of the collection.")],
    who: Annotated[str, typer.Argument(metavar="USER", help="The user, as DOMAIN\\NAME or NAME.")],
    wait: Annotated[int, typer.Option(min=0, help="Seconds to wait for a desktop.")] = 0,
) -> Result:
    """Get a user his desktop: the one that he has, the assigned one or a spare.

    Without one he has a place in line for 30 s, which asking again keeps; the exit code is 5 then.
    """
    domain, _, name = who.rpartition("\\")
    deadline = time.monotonic() + wait
    while True:
        left = round(min(_ASKED_SECONDS, max(0.0, deadline - time.monotonic())))
        answer = rdms.invoke(
            *("OpenRDMS_Pool", "Connect", {"CollectionAlias": collection}),
            UserName=name,
            UserDomain=domain,
            WaitSeconds=left,
        )
        if answer.get("VMName") or not left:
            break
    known = {key: value for key, value in answer.items() if value is not None}
    return known if "VMName" in known else NotYet(known, _explain(who, known))


def _explain(who: str, wait: Row) -> str:
    words = [f"{who} has no desktop yet: {wait['Reason']} ({wait['ReasonCode']})"]
    if "Position" in wait:
        words.append(f"he is number {wait['Position']} in line")
    if "EstimateSeconds" in wait:
        words.append(f"for about {wait['EstimateSeconds']} s")
    return ", ".join(words)


def _set_state(rdms: RdmsClient, name: str, state: VmState) -> None:
    rdms.invoke(CLASS, "SetVirtualDesktopState", {"Name": name}, VMState=int(state))
