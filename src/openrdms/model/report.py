"""The report of a provisioning job: ``build_report`` makes it, render and parse are inverse.

Microsoft's format is closed (facts c.3); the elements are those its parser is known to yield.
Its schema is report.xsd beside this file. Elements only, no attributes, no indentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lxml import etree

from openrdms.model.collection import CollectionState
from openrdms.model.errors import InvalidParameter
from openrdms.model.job import PHASES, Job, JobAction, JobDesktop, VmStatus
from openrdms.model.provisioning import NAMESPACE

ROOT = "ProvisioningJobReport"

_DEFAULT_NAMESPACE: Any = {None: NAMESPACE}  # lxml's types do not know the None key


@dataclass(frozen=True)
class DesktopReport:
    """One VmStatus. ``error`` is "" when nothing went wrong, by which clients know what came out
    well (facts a.3); ``undone`` in order of undoing; ``note`` is what else is to be said.
    """

    name: str
    host: str
    status: VmStatus
    error: str = ""
    undone: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What a client is told of a job. ``percent`` is 0 to 100; 100 only when nothing is left."""

    job_guid: str
    collection: str
    action: JobAction
    state: CollectionState
    started: datetime
    modified: datetime
    requested: int
    succeeded: int
    failed: int
    percent: int
    desktops: tuple[DesktopReport, ...] = ()


def build_report(job: Job, desktops: Sequence[JobDesktop]) -> Report:
    """The report from the job's rows. Before the plan is made there are no ``desktops``."""
    statuses = [desktop.status for desktop in desktops]
    return Report(
        job_guid=job.guid,
        collection=job.collection,
        action=job.action,
        state=job.state,
        started=job.started,
        modified=job.modified,
        requested=int(job.options.get("requested", len(desktops))),
        succeeded=statuses.count(VmStatus.COMPLETE),
        failed=statuses.count(VmStatus.FAILED),
        percent=_percent(job, desktops),
        desktops=tuple(_describe(job, desktop) for desktop in desktops),
    )


def _describe(job: Job, desktop: JobDesktop) -> DesktopReport:
    """A Prep's row is the copy it works on; its report names the VM that was copied."""
    name = str(job.options.get("vm", desktop.name))
    return DesktopReport(
        name, desktop.host, desktop.status, desktop.error, desktop.undone, desktop.notes
    )


def _percent(job: Job, desktops: Sequence[JobDesktop]) -> int:
    """Share of the phases that are done; a running job never shows 100."""
    if job.ended is not None:
        return 100
    phases = PHASES[job.action]
    done = sum(_phases_done(phases, desktop) for desktop in desktops)
    return min(99, 100 * done // (len(phases) * max(1, len(desktops))))


def _phases_done(phases: tuple[object, ...], desktop: JobDesktop) -> int:
    if desktop.status in (VmStatus.PENDING, VmStatus.IN_PROGRESS):
        return phases.index(desktop.done) + 1 if desktop.done in phases else 0
    return len(phases)


def render_report(report: Report) -> str:
    """The report as XML text without a declaration."""
    root = etree.Element(_q(ROOT), nsmap=_DEFAULT_NAMESPACE)
    _add(root, "JobGuid", report.job_guid)
    _add(root, "CollectionAlias", report.collection)
    _add(root, "Action", report.action)
    _add(root, "State", report.state.name)
    _add(root, "JobStartTime", _render_time(report.started))
    _add(root, "JobLastModifiedTime", _render_time(report.modified))
    _add(root, "TotalRequested", str(report.requested))
    _add(root, "TotalSucceeded", str(report.succeeded))
    _add(root, "TotalFailed", str(report.failed))
    _add(root, "PercentComplete", str(report.percent))
    for desktop in report.desktops:
        entry = _add(root, "VmStatus", "")
        _add(entry, "VirtualDesktopName", desktop.name)
        _add(entry, "HostName", desktop.host)
        _add(entry, "Status", desktop.status)
        _add(entry, "Error", desktop.error)
        if desktop.undone:
            _add(entry, "Undone", ", ".join(desktop.undone))
        if desktop.note:
            _add(entry, "Note", desktop.note)
    return etree.tostring(root, encoding="unicode")


def parse_report(text: str) -> Report:
    """The report in ``text``, ours or an earlier version's. InvalidParameter when it is none."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    try:
        root = etree.fromstring(text.encode(), parser)
        return _read_report(root)
    except (etree.XMLSyntaxError, ValueError, KeyError) as error:
        raise InvalidParameter("Report", f"not a job report: {error}") from error


def _read_report(root: etree._Element) -> Report:
    if root.tag != _q(ROOT):
        raise ValueError(f"its root is {root.tag}")
    return Report(
        job_guid=_get(root, "JobGuid"),
        collection=_get(root, "CollectionAlias"),
        action=JobAction(_get(root, "Action")),
        state=CollectionState[_get(root, "State")],
        started=datetime.fromisoformat(_get(root, "JobStartTime")),
        modified=datetime.fromisoformat(_get(root, "JobLastModifiedTime")),
        requested=int(_get(root, "TotalRequested")),
        succeeded=int(_get(root, "TotalSucceeded")),
        failed=int(_get(root, "TotalFailed")),
        percent=int(_get(root, "PercentComplete")),
        desktops=tuple(_read_desktop(entry) for entry in root.iter(_q("VmStatus"))),
    )


def _read_desktop(entry: etree._Element) -> DesktopReport:
    undone = entry.findtext(_q("Undone"))
    return DesktopReport(
        name=_get(entry, "VirtualDesktopName"),
        host=_get(entry, "HostName"),
        status=VmStatus(_get(entry, "Status")),
        error=_get(entry, "Error"),
        undone=tuple(undone.split(", ")) if undone else (),
        note=entry.findtext(_q("Note")) or "",
    )


def _q(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _add(parent: etree._Element, name: str, text: str) -> etree._Element:
    element = etree.SubElement(parent, _q(name))
    element.text = "".join(character if _is_xml(character) else "\ufffd" for character in text)
    return element


def _is_xml(character: str) -> bool:
    """XML 1.0 production 2; error texts of hosts may hold anything."""
    code = ord(character)
    return (
        code in (0x9, 0xA, 0xD) or 0x20 <= code < 0xD800 or 0xE000 <= code < 0xFFFE
    ) or code >= 0x10000


def _get(parent: etree._Element, name: str) -> str:
    text = parent.findtext(_q(name))
    if text is None:
        raise KeyError(name)
    return text


def _render_time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
