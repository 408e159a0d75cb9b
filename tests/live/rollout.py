"""Provisioning over the wire: the stock module's job document, collections, reports."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from lxml import etree

from live.service import until
from live.wire import Wire

COLLECTION = "Win32_RDMSVirtualDesktopCollection"
DESKTOP = "Win32_RDMSVirtualDesktop"
SESSION = "Win32_VirtualDesktopSession"

ENDED = {"JOB_COMPLETED", "JOB_ABORTED", "UPDATE_CANCELLED", "UPDATE_FAILED"}
NOT_FOUND, INVALID_PARAMETER, INVALID_OPERATION = 0x80041002, 0x80041008, 0x80041016
WIN32_NOT_FOUND = 1168

_JOB = "{http://www.microsoft.com/rdv/2010/05/}"


@dataclass(frozen=True)
class Report:
    """What a test reads of a report; ``undone`` by desktop."""

    state: str
    percent: int
    requested: int
    succeeded: int
    statuses: dict[str, str]
    undone: dict[str, str]
    errors: dict[str, str]


def job_document(
    action: str,
    alias: str,
    *,
    prefix: str = "",
    count: int = 0,
    host: str = "",
    base: str = "image:tiny",
    selected: Sequence[str] = ("",),
    on_error: str = "Stop",
) -> str:
    """As the stock module makes it: pasted together, nothing escaped."""
    hosts = (
        f"<rdvp:HyperVHost><rdvp:Name>{host}</rdvp:Name>"
        f"<rdvp:NumberVms>{count}</rdvp:NumberVms></rdvp:HyperVHost>"
    )
    names = "".join(f"<rdvp:SelectedVm>{name}</rdvp:SelectedVm>" for name in selected)
    return (
        '<?xml version="1.0" encoding="utf-16"?>'
        '<rdvp:RDVProvisioning xmlns:rdvp="http://www.microsoft.com/rdv/2010/05/">'
        "<rdvp:ProvisionPoolRequest>"
        f"<rdvp:Job><rdvp:Action>{action}</rdvp:Action><rdvp:OnError>{on_error}</rdvp:OnError>"
        f"</rdvp:Job><rdvp:Pool><rdvp:Name>{alias}</rdvp:Name>"
        "<rdvp:VhdType>DiffDisk</rdvp:VhdType><rdvp:Mark_HA>No</rdvp:Mark_HA></rdvp:Pool>"
        f"<rdvp:Vm><rdvp:BaseVmLocation>{base}</rdvp:BaseVmLocation><rdvp:SMBShare></rdvp:SMBShare>"
        "<rdvp:LocalVmCreationPath></rdvp:LocalVmCreationPath>"
        "<rdvp:LocalGoldCachePath></rdvp:LocalGoldCachePath>"
        "<rdvp:RunVMsFromSMB>0</rdvp:RunVMsFromSMB>"
        "<rdvp:EnableVmStreaming>0</rdvp:EnableVmStreaming>"
        f"<rdvp:NamingPrefix>{prefix}</rdvp:NamingPrefix>"
        "<rdvp:NamingStartIndex>1</rdvp:NamingStartIndex>"
        "<rdvp:Domain>corp.example</rdvp:Domain><rdvp:OU></rdvp:OU>"
        "<rdvp:UnattendXml><![CDATA[<unattend/>]]></rdvp:UnattendXml></rdvp:Vm>"
        f"<rdvp:HyperVHosts>{hosts if count else ''}</rdvp:HyperVHosts>"
        f"<rdvp:SelectedVms>{names}</rdvp:SelectedVms>"
        "</rdvp:ProvisionPoolRequest></rdvp:RDVProvisioning>"
    )


def create_collection(wire: Wire, alias: str, *, managed: bool = True) -> None:
    """A pooled collection, still without desktops."""
    wire.create(
        COLLECTION,
        {
            "Alias": alias,
            "Name": f"Collection {alias}",
            "Type": "1",
            "IsManaged": "true" if managed else "false",
            "ShowInPortal": "true",
        },
    )


def execute(wire: Wire, document: str) -> str:
    """Have a job accepted; returns its GUID."""
    answer = wire.invoke(COLLECTION, "ProvisioningJobExecute", JobInputXml=document)
    assert answer.return_value == 0, answer.reason
    return str(answer.outputs["JobGuid"])


def begin_create(wire: Wire, alias: str, count: int, **document: str) -> str:
    """A new collection and the job that fills it."""
    create_collection(wire, alias)
    return execute(wire, job_document("Create", alias, prefix=f"{alias}-", count=count, **document))


def cancel(wire: Wire, guid: str) -> int:
    """Ask for a cancel; the ReturnValue."""
    return wire.invoke(COLLECTION, "ProvisioningJobCancel", JobGuid=guid).return_value


def read_report(wire: Wire, guid: str) -> Report:
    """The report, which must keep to its schema."""
    answer = wire.invoke(COLLECTION, "ProvisioningJobGetReport", JobGuid=guid)
    assert answer.return_value == 0, answer.reason
    text = str(answer.outputs["JobReportXml"])
    _SCHEMA.assertValid(etree.fromstring(text.encode()))
    root = ET.fromstring(text)
    entries = {_text(entry, "VirtualDesktopName"): entry for entry in root.iter(f"{_JOB}VmStatus")}
    return Report(
        state=_text(root, "State"),
        percent=int(_text(root, "PercentComplete")),
        requested=int(_text(root, "TotalRequested")),
        succeeded=int(_text(root, "TotalSucceeded")),
        statuses={name: _text(entry, "Status") for name, entry in entries.items()},
        undone={name: _text(entry, "Undone") for name, entry in entries.items()},
        errors={name: _text(entry, "Error") for name, entry in entries.items()},
    )


BOOT_S = 400
"""Within this a job on real virtual machines must have ended; alone on two cores 20 s do."""


def follow(wire: Wire, guid: str, seconds: float = 60) -> Report:
    """The report of the job when it has ended."""

    def ended() -> Report | None:
        report = read_report(wire, guid)
        return report if report.state in ENDED else None

    return until(f"job {guid} ends", ended, seconds, pause=seconds / 1000)


def remove_all(wire: Wire, alias: str, seconds: float = 60) -> None:
    """A job that deletes every desktop of the collection, and then the collection."""
    guid = execute(wire, job_document("Delete", alias, selected=(), on_error="Continue"))
    assert follow(wire, guid, seconds).state == "JOB_COMPLETED"
    wire.delete(COLLECTION, Alias=alias)


def collection_state(wire: Wire, alias: str) -> int:
    """The CollectionState property."""
    answer = wire.invoke(COLLECTION, "GetInt32Property", {"Alias": alias}, Key="CollectionState")
    assert answer.return_value == 0
    return int(str(answer.outputs["Value"]))


def list_sessions(wire: Wire, alias: str) -> list[dict[str, str]]:
    """Sessions in the collection's desktops, by VM name."""
    found = wire.enumerate(SESSION, f"CollectionId = '{alias}'")
    rows = [{name: str(value or "") for name, value in row.items()} for row in found]
    return sorted(rows, key=lambda row: row["VMName"])


def session_keys(session: dict[str, str]) -> dict[str, str]:
    """Its selectors."""
    return {key: session[key] for key in ("VMHostName", "SessionId")}


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"{_JOB}{name}", "")


_SCHEMA = etree.XMLSchema(
    etree.fromstring(resources.files("openrdms.model").joinpath("report.xsd").read_bytes())
)
