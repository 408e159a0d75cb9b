"""The report of a provisioning job: ``build_report`` makes it, render and parse are inverse.

Microsoft's format is closed (facts c.3); the elements are those its parser is known to yield, and
after them, each only where there is something to say, ours that say why. Its schema is report.xsd
beside this file. Elements only, no attributes, no indentation. A report may have 20,000 desktops.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

from lxml import etree

from openrdms.model.collection import CollectionState
from openrdms.model.errors import InvalidParameter
from openrdms.model.job import PHASES, Job, JobAction, JobDesktop, VmStatus
from openrdms.model.provisioning import NAMESPACE
from openrdms.model.reason import PLACED, Wait, parse_reason
from openrdms.model.xml_document import read_texts, write_element

ROOT = "ProvisioningJobReport"


@dataclass(frozen=True)
class DesktopReport:
    """One VmStatus. ``error`` is "" when nothing went wrong, by which clients know what came out
    well (facts a.3); ``undone`` in order of undoing; ``note`` is what else is to be said.

    ``code`` (a ReasonCode or "") and ``reason`` say what it waits for, else why it has failed or is
    where it is; ``position`` in the queue, from 1, and ``seconds`` how long it will still wait.
    """

    name: str
    host: str
    status: VmStatus
    error: str = ""
    undone: tuple[str, ...] = ()
    note: str = ""
    code: str = ""
    reason: str = ""
    position: int | None = None
    seconds: int | None = None


@dataclass(frozen=True)
class Report:
    """What a client is told of a job. ``percent`` is 0 to 100; 100 only when nothing is left.

    ``end`` is when it will have ended, as far as can be told. ``code`` and ``error`` say why it
    failed as a whole; ``note`` is what else is to be said of it.
    """

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
    end: datetime | None = None
    code: str = ""
    error: str = ""
    note: str = ""
    desktops: tuple[DesktopReport, ...] = ()


def build_report(
    job: Job,
    desktops: Sequence[JobDesktop],
    waits: Mapping[int, Wait] = MappingProxyType({}),
    end: datetime | None = None,
    note: str = "",
) -> Report:
    """The report from the job's rows. Before the plan is made there are no ``desktops``.

    ``waits`` has what those wait for that do, by ordinal.
    """
    statuses = [desktop.status for desktop in desktops]
    code, error = parse_reason(job.error)
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
        end=end,
        code=code,
        error=error,
        note=note,
        desktops=tuple(_describe(job, desktop, waits.get(desktop.ordinal)) for desktop in desktops),
    )


def _describe(job: Job, desktop: JobDesktop, wait: Wait | None) -> DesktopReport:
    """A Prep's row is the copy it works on; its report names the VM that was copied."""
    known = DesktopReport(
        name=str(job.options.get("vm", desktop.name)),
        host=desktop.host,
        status=desktop.status,
        error=desktop.error,
        undone=desktop.undone,
        note=desktop.notes,
    )
    if wait is None:
        return replace(known, code=desktop.reason, reason=PLACED.get(desktop.reason, ""))
    seconds = None if wait.seconds is None else math.ceil(wait.seconds)
    return replace(
        known, code=wait.code, reason=wait.words, position=wait.position, seconds=seconds
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
    return "".join(_write(report))


def _write(report: Report) -> Iterator[str]:
    yield f'<{ROOT} xmlns="{NAMESPACE}">'
    yield write_element("JobGuid", report.job_guid)
    yield write_element("CollectionAlias", report.collection)
    yield write_element("Action", report.action)
    yield write_element("State", report.state.name)
    yield write_element("JobStartTime", _render_time(report.started))
    yield write_element("JobLastModifiedTime", _render_time(report.modified))
    yield write_element("TotalRequested", report.requested)
    yield write_element("TotalSucceeded", report.succeeded)
    yield write_element("TotalFailed", report.failed)
    yield write_element("PercentComplete", report.percent)
    if report.end:
        yield write_element("EstimatedEndTime", _render_time(report.end))
    if report.code:
        yield write_element("ReasonCode", report.code)
    if report.error:
        yield write_element("Error", report.error)
    if report.note:
        yield write_element("Note", report.note)
    for desktop in report.desktops:
        yield from _write_desktop(desktop)
    yield f"</{ROOT}>"


def _write_desktop(desktop: DesktopReport) -> Iterator[str]:
    yield "<VmStatus>"
    yield write_element("VirtualDesktopName", desktop.name)
    yield write_element("HostName", desktop.host)
    yield write_element("Status", desktop.status)
    yield write_element("Error", desktop.error)
    if desktop.undone:
        yield write_element("Undone", ", ".join(desktop.undone))
    if desktop.note:
        yield write_element("Note", desktop.note)
    if desktop.code:
        yield write_element("ReasonCode", desktop.code)
    if desktop.reason:
        yield write_element("Reason", desktop.reason)
    if desktop.position is not None:
        yield write_element("Position", desktop.position)
    if desktop.seconds is not None:
        yield write_element("EstimateSeconds", desktop.seconds)
    yield "</VmStatus>"


def parse_report(text: str) -> Report:
    """The report in ``text``, ours or an earlier version's. InvalidParameter when it is none."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    try:
        root = etree.fromstring(text.encode(), parser)
        return _read_report(root)
    except (etree.XMLSyntaxError, ValueError, KeyError) as error:
        raise InvalidParameter("Report", f"not a job report: {error}") from error


def _read_report(root: etree._Element) -> Report:
    if root.tag != f"{{{NAMESPACE}}}{ROOT}":
        raise ValueError(f"its root is {root.tag}")
    facts = read_texts(root, NAMESPACE)
    end = facts.get("EstimatedEndTime")
    return Report(
        job_guid=facts["JobGuid"],
        collection=facts["CollectionAlias"],
        action=JobAction(facts["Action"]),
        state=CollectionState[facts["State"]],
        started=datetime.fromisoformat(facts["JobStartTime"]),
        modified=datetime.fromisoformat(facts["JobLastModifiedTime"]),
        requested=int(facts["TotalRequested"]),
        succeeded=int(facts["TotalSucceeded"]),
        failed=int(facts["TotalFailed"]),
        percent=int(facts["PercentComplete"]),
        end=datetime.fromisoformat(end) if end else None,
        code=facts.get("ReasonCode", ""),
        error=facts.get("Error", ""),
        note=facts.get("Note", ""),
        desktops=tuple(map(_read_desktop, root.iterchildren(f"{{{NAMESPACE}}}VmStatus"))),
    )


def _read_desktop(entry: etree._Element) -> DesktopReport:
    facts = read_texts(entry, NAMESPACE)
    undone = facts.get("Undone")
    return DesktopReport(
        name=facts["VirtualDesktopName"],
        host=facts["HostName"],
        status=VmStatus(facts["Status"]),
        error=facts["Error"],
        undone=tuple(undone.split(", ")) if undone else (),
        note=facts.get("Note", ""),
        code=facts.get("ReasonCode", ""),
        reason=facts.get("Reason", ""),
        position=_find_number(facts, "Position"),
        seconds=_find_number(facts, "EstimateSeconds"),
    )


def _find_number(facts: Mapping[str, str], name: str) -> int | None:
    return int(facts[name]) if name in facts else None


def _render_time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
