"""``rdms job``: provisioning jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from openrdms.cim.types import CimValue
from openrdms.cli import output
from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.job_plan import DryRun, ask_plan, show_plan
from openrdms.cli.output import Document, Listing, Result, Row
from openrdms.cli.rdms_client import RdmsClient, Refused, Values
from openrdms.model import report
from openrdms.model.collection import IDLE_STATES, CollectionState
from openrdms.model.errors import OperationFailed, WbemCode
from openrdms.model.patch import PatchState

CLASS = "Win32_RDMSVirtualDesktopCollection"
COLUMNS = ("JobGuid", "CollectionAlias", "Action", "State", "PercentComplete")
DESKTOP_COLUMNS = (
    *("VirtualDesktopName", "HostName", "Status", "ReasonCode", "Reason", "Position"),
    *("EstimateSeconds", "Error", "Undone", "Note"),
)
_RUNNING, _COMPLETED = 0, 1
_POLL_SECONDS = 0.5
_PATIENCE = 4
"""Times what a report took, until the next one: that of a large job must not slow the job."""

group = typer.Typer(help="Provisioning jobs: plan, submit, list, status, watch, report, cancel.")

Guid = Annotated[str, typer.Argument(metavar="GUID", help="The job's id.")]
DocumentFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="Job document (XML).", exists=True, dir_okay=False)
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until the job has ended.")]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="job")


@command(group, "list", opens=open_rdms)
def list_jobs(
    rdms: RdmsClient,
    collection: Annotated[str, typer.Option(help="Only jobs of this collection.")] = "",
    running: Annotated[bool, typer.Option("--running", help="Only jobs that run.")] = False,
) -> Result:
    """List jobs."""
    kinds = (_RUNNING,) if running else (_RUNNING, _COMPLETED)
    guids = [guid for kind in kinds for guid in _enumerate_jobs(rdms, kind, collection)]
    return Listing([_summary(_get_report(rdms, guid)) for guid in guids], COLUMNS)


@command(group, "show", opens=open_rdms)
def show(rdms: RdmsClient, guid: Guid) -> Result:
    """Show how far a job is."""
    return _summary(_get_report(rdms, guid))


@command(group, "status", opens=open_rdms)
def show_status(
    rdms: RdmsClient, alias: Annotated[str, typer.Argument(help="Alias of a collection.")]
) -> Result:
    """Show what a collection waits for, or how far its latest job is."""
    keys = {"Alias": alias}
    found = rdms.invoke(CLASS, "GetInt32Property", keys, Key="CollectionState")
    state = CollectionState(int(str(found["Value"])))
    if state in (CollectionState.UPDATE_SCHEDULED, CollectionState.UPDATE_CANCELLED):
        return {"CollectionState": state.name, **find_update(rdms, alias)}
    job = rdms.invoke(CLASS, "GetStringProperty", keys, Key="ProvisioningJobId")["Value"]
    latest = _summary(_get_report(rdms, str(job))) if job else {}
    return {"CollectionState": state.name, **latest}


@command(group, "report", opens=open_rdms)
def show_report(
    rdms: RdmsClient,
    guid: Guid,
    xml: Annotated[bool, typer.Option("--xml", help="Print the report as it came.")] = False,
) -> Result:
    """Show what a job did to each desktop, what each waits for, and for how long still."""
    text = rdms.get_report(guid)
    if xml:
        return text
    job = report.parse_report(text)
    desktops = [_describe(desktop) for desktop in job.desktops]
    facts = _summary(job)
    return Document({**facts, "VmStatus": desktops}, facts, desktops, DESKTOP_COLUMNS)


@command(group, "watch", opens=open_rdms)
def watch(rdms: RdmsClient, guid: Guid) -> Result:
    """Show progress until the job has ended; fails unless it was completed."""
    return wait_for(rdms, guid)


@command(group, "cancel", opens=open_rdms)
def cancel(rdms: RdmsClient, guid: Guid, wait: Wait = False) -> Result:
    """Cancel a job; what it made is undone."""
    rdms.invoke(CLASS, "ProvisioningJobCancel", JobGuid=guid)
    return _summary(_follow(rdms, guid)) if wait else None


@command(group, "plan", opens=open_rdms)
def plan_file(rdms: RdmsClient, file: DocumentFile) -> Result:
    """Show what a job document would do; nothing changes."""
    return show_plan(rdms, _read(file))


@command(group, "submit", opens=open_rdms)
def submit_file(
    rdms: RdmsClient, file: DocumentFile, wait: Wait = False, dry_run: DryRun = False
) -> Result:
    """Submit a job document."""
    return submit_or_plan(rdms, _read(file), wait=wait, dry_run=dry_run)


@command(group, "prepare", opens=open_rdms)
def prepare(
    rdms: RdmsClient,
    host: Annotated[str, typer.Argument(help="Hypervisor host of the VM.")],
    vm: Annotated[str, typer.Argument(help="The VM to make an image of; it stays as it is.")],
    location: Annotated[str, typer.Argument(help="What collections call the image: a path.")],
    generalise: Annotated[
        bool, typer.Option(help="Remove from the copy what must not be cloned.")
    ] = True,
    wait: Wait = False,
    dry_run: DryRun = False,
) -> Result:
    """Make a golden image of a VM's disk; while it is copied the VM is off."""
    asked: dict[str, CimValue] = {
        "CollectionAlias": "",
        "VMHostName": host,
        "VMName": vm,
        "ExportToLocation": location,
        "bSysPrep": generalise,
    }
    if dry_run:
        return ask_plan(rdms, "PlanPrep", **asked)
    nobody = {"MachineName": "", "UserName": "", "Password": ""}  # the guest agent needs no account
    outputs = rdms.invoke(CLASS, "ProvisioningPrepJob", **asked, **nobody)
    return _accepted(rdms, outputs, wait=wait)


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


def submit_or_plan(rdms: RdmsClient, document: str, *, wait: bool, dry_run: bool) -> Result:
    """Start a job, or show what it would do."""
    return show_plan(rdms, document) if dry_run else submit(rdms, document, wait=wait)


def submit(rdms: RdmsClient, document: str, *, wait: bool) -> Row:
    """Start a job; returns its JobGuid, or what its report says at the end."""
    outputs = rdms.invoke(CLASS, "ProvisioningJobExecute", JobInputXml=document)
    return _accepted(rdms, outputs, wait=wait)


def _accepted(rdms: RdmsClient, outputs: Values, *, wait: bool) -> Row:
    guid = str(outputs["JobGuid"])
    return wait_for(rdms, guid) if wait else {"JobGuid": guid}


def wait_for(rdms: RdmsClient, guid: str) -> Row:
    """Wait for the end of a job. OperationFailed unless it was completed without failures."""
    job = _follow(rdms, guid)
    if job.state is not CollectionState.JOB_COMPLETED or job.failed:
        raise OperationFailed(f"job {guid} ended {job.state.name}, {job.failed} desktops failed")
    return _summary(job)


def _read(file: Path) -> str:
    """Saved documents may be in the UTF-16 that they declare; a byte order mark then says so."""
    content = file.read_bytes()
    return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def _follow(rdms: RdmsClient, guid: str) -> report.Report:
    """The last report of a job, shown as a bar until it comes."""
    with output.progress_bar("job") as show_progress:
        for job in _reports(rdms, guid):
            show_progress(job.percent / 100, job.state.name)
    return job


def _reports(rdms: RdmsClient, guid: str) -> Iterator[report.Report]:
    while True:
        asked = time.monotonic()
        job = _get_report(rdms, guid)
        took = time.monotonic() - asked
        yield job
        if job.state in IDLE_STATES:
            return
        time.sleep(max(_POLL_SECONDS, _PATIENCE * took))


def _get_report(rdms: RdmsClient, guid: str) -> report.Report:
    return report.parse_report(rdms.get_report(guid))


def _summary(job: report.Report) -> dict[str, object]:
    """What is said of the job as a whole, named as in the report."""
    return {
        "JobGuid": job.job_guid,
        "CollectionAlias": job.collection,
        "Action": str(job.action),
        "State": job.state.name,
        "JobStartTime": job.started.isoformat(),
        "JobLastModifiedTime": job.modified.isoformat(),
        "TotalRequested": job.requested,
        "TotalSucceeded": job.succeeded,
        "TotalFailed": job.failed,
        "PercentComplete": job.percent,
        "EstimatedEndTime": job.end.isoformat() if job.end else None,
        "ReasonCode": job.code or None,
        "Error": job.error or None,
        "Note": job.note or None,
    }


def _describe(desktop: report.DesktopReport) -> dict[str, object]:
    return {
        "VirtualDesktopName": desktop.name,
        "HostName": desktop.host,
        "Status": str(desktop.status),
        "Error": desktop.error,
        "Undone": list(desktop.undone),
        "Note": desktop.note,
        "ReasonCode": desktop.code or None,
        "Reason": desktop.reason or None,
        "Position": desktop.position,
        "EstimateSeconds": desktop.seconds,
    }


def _enumerate_jobs(rdms: RdmsClient, kind: int, collection: str) -> list[str]:
    outputs = rdms.invoke(
        CLASS, "ProvisioningEnumerateJobs", JobType=kind, CollectionAlias=collection
    )
    guids = outputs.get("JobGuids")
    return [str(guid) for guid in guids] if isinstance(guids, list) else []
