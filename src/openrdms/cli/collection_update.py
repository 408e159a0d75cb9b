"""``rdms collection``, as far as collections are made anew from an image at a given time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

import typer

from openrdms.cim.types import CimValue
from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.job import Wait, find_update, wait_for
from openrdms.cli.job_plan import DryRun, ask_plan
from openrdms.cli.output import Result
from openrdms.cli.rdms_client import RdmsClient
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.patch import NEVER
from openrdms.model.provisioning import HostAllocation, JobDocument, OnError, render_job
from openrdms.model.rollout import parse_share, parse_waves

CLASS = "Win32_RDMSVirtualDesktopCollection"
PROPERTIES = "Win32_RDMSCollectionProperties"

_NEVER = datetime(NEVER, 12, 31, tzinfo=UTC)

_TIME = "ISO 8601, as 2026-12-24T22:00; local time unless it says otherwise."

_MaxUnavailable = Annotated[
    str,
    typer.Option(
        metavar="N|N%",
        help="Desktops in work at a time, with those on hosts that are away; one is always."
        " 25% when left out.",
    ),
]


def add_commands(group: typer.Typer) -> None:
    """Add these commands to ``rdms collection``."""
    for name in ("update", "schedule-update"):  # the second is what it was called first
        command(group, name, opens=open_rdms)(update)
    command(group, "cancel-update", opens=open_rdms)(cancel_update)


def update(
    rdms: RdmsClient,
    alias: Annotated[str, typer.Argument(help="Alias of the collection.")],
    image: Annotated[
        str,
        typer.Argument(help="What its desktops are to be made of; image:NAME@VERSION goes back."),
    ],
    start: Annotated[str, typer.Option(metavar="TIME", help=f"{_TIME} Now when left out.")] = "",
    force_logoff: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="When who is still there is logged off, after notices 15, 5 and 1 minutes before."
            " Nobody is, when left out.",
        ),
    ] = "",
    waves: Annotated[
        str,
        typer.Option(help="How far each wave goes, as 1%,10%,100%: one that fails is the last."),
    ] = "",
    max_unavailable: _MaxUnavailable = "",
    probe: Annotated[
        str, typer.Option(metavar="COMMAND", help="What in a good desktop ends with status 0.")
    ] = "",
    wait: Wait = False,
    dry_run: DryRun = False,
) -> Result:
    """Have all desktops made anew from an image: free ones first, others at their users' logoff."""
    begin = _parse_time("--start", start) if start else datetime.now(UTC)
    force = _parse_time("--force-logoff", force_logoff) if force_logoff else _NEVER
    document = replace(
        make_document(rdms, alias, JobAction.PATCH, OnError.STOP, image=image),
        waves=parse_waves("--waves", waves) if waves else (),
        max_unavailable=parse_share("--max-unavailable", max_unavailable)
        if max_unavailable
        else None,
        probe=probe.strip(),
    )
    text = render_job(document)
    asked: dict[str, CimValue] = {
        "StartTime": begin,
        "ForceLogOffTime": force,
        "JobInputXml": text,
    }
    if dry_run:
        return ask_plan(rdms, "PlanPatch", CollectionAlias=alias, **asked)
    rdms.invoke(CLASS, "SchedulePatch", {"Alias": alias}, **asked)
    scheduled = find_update(rdms, alias)
    return wait_for(rdms, str(scheduled["UpdateJobGuid"])) if wait else scheduled


def cancel_update(
    rdms: RdmsClient, alias: Annotated[str, typer.Argument(help="Alias of the collection.")]
) -> Result:
    """Cancel an update that is scheduled or has begun."""
    rdms.invoke(CLASS, "CancelPatch", {"Alias": alias})
    return None


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
