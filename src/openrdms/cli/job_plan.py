"""What a job or another change would do, before it does: ``rdms job plan`` and ``--dry-run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from openrdms.cim.types import CimValue
from openrdms.cli.output import Document, Row
from openrdms.model.errors import OperationFailed
from openrdms.model.plan import Plan, PlannedHost, parse_plan

if TYPE_CHECKING:  # commands that ask over the admin socket need no client
    from openrdms.cli.rdms_client import RdmsClient

CLASS = "OpenRDMS_Planner"
COLUMNS = (
    *("VirtualDesktopName", "HostName", "ReasonCode"),
    *("LogsOff", "WaitsFor", "Wave", "Note"),
)

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would be done; nothing changes.")
]


def show_plan(rdms: RdmsClient, document: str, *, new: bool = False) -> Document:
    """What a job document (XML) would do now; ``new``: in a collection that is created first.
    OperationFailed when it would be refused.
    """
    return ask_plan(rdms, "Plan", JobInputXml=document, NewCollection=new, WaitForUsers=False)


def ask_plan(rdms: RdmsClient, method: str, **inputs: CimValue) -> Document:
    """What a method of the planner answers. Refused, or OperationFailed, as what is planned."""
    return describe_plan(str(rdms.ask(CLASS, method, **inputs)["PlanXml"]))


def describe_plan(text: str) -> Document:
    """The plan in ``text``. OperationFailed for that of a job that would be refused."""
    plan = parse_plan(text)
    if plan.refusal:
        raise OperationFailed(f"would be refused: {plan.refusal} ({plan.reason})")
    facts = _summarise(plan)
    desktops = [
        {
            "VirtualDesktopName": desktop.name,
            "HostName": desktop.host,
            "ReasonCode": desktop.reason,
            "LogsOff": desktop.user or None,
            "WaitsFor": desktop.awaited or None,
            "Wave": desktop.wave or None,
            "Note": desktop.note or None,
        }
        for desktop in plan.desktops
    ]
    hosts = [_describe(host) for host in plan.hosts]
    whole = {**facts, "Warnings": list(plan.warnings), "Hosts": hosts, "Desktops": desktops}
    for number, host in enumerate(plan.hosts):
        facts |= {"Hosts" if number == 0 else " " * number: _tell(host)}
    return Document(whole, facts, desktops, COLUMNS)


def _summarise(plan: Plan) -> dict[str, object]:
    return {
        "CollectionAlias": plan.collection or None,
        "Action": str(plan.action),
        "Image": plan.image or None,
        "TotalRequested": len(plan.desktops),
        "EstimateSeconds": plan.seconds,
        "EstimateBasis": plan.basis,
        "LogsOff": list(plan.users) or None,
        "WaitsFor": list(plan.awaited) or None,
        "Warnings": list(plan.warnings) or None,
    }


def _describe(host: PlannedHost) -> Row:
    return {
        "HostName": host.name,
        "Desktops": host.desktops,
        "BytesAtFirst": host.bytes_at_first,
        "BytesAtMost": host.bytes_at_most,
        "FreeBytes": host.free_bytes,
        "MemoryMiB": host.memory_mib,
        "CopyBytes": host.copy_bytes,
    }


def _tell(host: PlannedHost) -> str:
    """One host in a line."""
    words = [f"{host.name}: {host.desktops} desktops"]
    if host.bytes_at_most:
        sizes = f"{_size(host.bytes_at_first)} to {_size(host.bytes_at_most)}"
        words.append(f"{sizes} of disk, {_size(host.free_bytes)} free")
    if host.memory_mib:
        words.append(f"{host.memory_mib} MiB of memory")
    if host.copy_bytes:
        words.append(f"image to be copied, {_size(host.copy_bytes)}")
    return "; ".join(words)


def _size(number: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} TiB"
