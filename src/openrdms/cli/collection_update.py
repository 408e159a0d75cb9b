"""``rdms collection``, as far as collections are made anew from an image at a given time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.output import Result, Row
from openrdms.cli.rdms_client import RdmsClient, Refused
from openrdms.model.errors import WbemCode
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.patch import PatchState
from openrdms.model.provisioning import HostAllocation, JobDocument, OnError, render_job

CLASS = "Win32_RDMSVirtualDesktopCollection"
PROPERTIES = "Win32_RDMSCollectionProperties"

_TIME = "ISO 8601, as 2026-12-24T22:00; local time unless it says otherwise."


def add_commands(group: typer.Typer) -> None:
    """Add these commands to ``rdms collection``."""
    command(group, "schedule-update", opens=open_rdms)(schedule_update)
    command(group, "cancel-update", opens=open_rdms)(cancel_update)


def schedule_update(
    rdms: RdmsClient,
    alias: Annotated[str, typer.Argument(help="Alias of the collection.")],
    image: Annotated[str, typer.Argument(help="What all its desktops are to be made of.")],
    start: Annotated[str, typer.Option(metavar="TIME", help=f"{_TIME} Now when left out.")] = "",
    force_logoff: Annotated[
        str, typer.Option(metavar="TIME", help="Kept only: users are logged off at the start.")
    ] = "",
) -> Result:
    """Have all desktops made anew from an image, at a time to come."""
    begin = _parse_time("--start", start) if start else datetime.now(UTC)
    force = _parse_time("--force-logoff", force_logoff) if force_logoff else begin
    document = make_document(rdms, alias, JobAction.PATCH, OnError.STOP, image=image)
    times = {"StartTime": begin, "ForceLogOffTime": force}
    text = render_job(document)
    rdms.invoke(CLASS, "SchedulePatch", {"Alias": alias}, **times, JobInputXml=text)
    return find_update(rdms, alias)


def cancel_update(
    rdms: RdmsClient, alias: Annotated[str, typer.Argument(help="Alias of the collection.")]
) -> Result:
    """Cancel an update that is scheduled or has begun."""
    rdms.invoke(CLASS, "CancelPatch", {"Alias": alias})
    return None


def find_update(rdms: RdmsClient, alias: str) -> Row:
    """The last update of a collection; nothing when there never was one."""
    try:
        found = rdms.invoke(CLASS, "GetPatchProperties", {"Alias": alias})
    except Refused as refusal:
        if refusal.return_value != WbemCode.NOT_FOUND:
            raise
        return {}
    state = PatchState(int(str(found["State"]))).name
    times = {name: found[name] for name in ("StartTime", "ForceLogOffTime")}
    return {**times, "UpdateJobGuid": found["JobGuid"], "UpdateState": state}


def make_document(
    rdms: RdmsClient,
    alias: str,
    action: JobAction,
    on_error: OnError,
    *,
    image: str = "",
    hosts: tuple[HostAllocation, ...] = (),
) -> JobDocument:
    """A job on an existing collection, with what the collection remembers."""
    made = rdms.invoke(PROPERTIES, "GetProvisioningProperties", {"Alias": alias})
    return JobDocument(
        action=action,
        on_error=on_error,
        collection=alias,
        disk_kind=DiskKind(str(made["PoolVhdType"])),
        base_vm_location=image or str(made["MasterVmLocation"]),
        smb_share=str(made["SMBLocation"] or ""),
        local_vm_path=str(made["LocalVmLocation"] or ""),
        local_gold_path=str(made["LocalGoldVmLocation"] or ""),
        run_from_smb=made["RunFromSMB"] is True,
        streaming=made["SMBStreaming"] is True,
        name_prefix=str(made["NamePrefix"]),
        start_index=int(str(made["NameStartIndex"])),
        domain=str(made["VmDomain"] or ""),
        hosts=hosts,
    )


def _parse_time(option: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(f"{option} {text!r} is no time: {_TIME}") from error
