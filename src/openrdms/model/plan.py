"""What a job, or another change, would do: ``render_plan`` and ``parse_plan`` are inverse.

Their schema is plan.xsd. Ours, unlike the report: RDMS has no plans. Elements only, no attributes,
no indentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from lxml import etree

from openrdms.model.errors import InvalidParameter, RdmsError
from openrdms.model.job import JobAction
from openrdms.model.reason import explain_refusal
from openrdms.model.xml_document import read_texts, write_element

NAMESPACE = "urn:openrdms:plan"
ROOT = "ProvisioningJobPlan"


class PlannedChange(StrEnum):
    """What is planned beside jobs: of one desktop, of a host, of a collection."""

    MOVE = "Move"
    RELEASE = "Release"
    DRAIN = "Drain"
    FORGET = "Forget"
    REMOVE = "Remove"


@dataclass(frozen=True)
class PlannedHost:
    """What one host would get: ``desktops`` of them.

    Bytes on its disk: what the desktops take as soon as they are made, and at most in their
    lives. ``copy_bytes`` is the size of the image when it has to be copied there first, else 0.
    """

    name: str
    desktops: int
    bytes_at_first: int
    bytes_at_most: int
    free_bytes: int
    memory_mib: int
    copy_bytes: int = 0


@dataclass(frozen=True)
class PlannedDesktop:
    """One desktop, and the host where it would be then. ``reason`` is the ReasonCode of its place;
    ``user`` would be logged off, the logoff of ``awaited`` be waited for. ``wave`` is when it would
    be in an update, from 1; 0 in what has no waves.
    """

    name: str
    host: str
    reason: str
    user: str = ""
    awaited: str = ""
    note: str = ""
    wave: int = 0


@dataclass(frozen=True)
class Plan:
    """What would become of a job document, or be changed otherwise, now.

    ``collection`` is "" for what has none. ``refusal`` has the words with which a job would be
    refused, ``reason`` their ReasonCode; there is nothing else then. ``seconds`` is about how long
    it would take, None when there is no telling, and ``basis`` what that rests on.
    """

    collection: str
    action: JobAction | PlannedChange
    image: str = ""
    refusal: str = ""
    reason: str = ""
    seconds: int | None = None
    basis: str = ""
    warnings: tuple[str, ...] = ()
    hosts: tuple[PlannedHost, ...] = ()
    desktops: tuple[PlannedDesktop, ...] = ()

    @property
    def users(self) -> tuple[str, ...]:
        """Who would be logged off, each once."""
        return tuple(sorted({one.user for one in self.desktops if one.user}))

    @property
    def awaited(self) -> tuple[str, ...]:
        """Whose logoff would be waited for, each once."""
        return tuple(sorted({one.awaited for one in self.desktops if one.awaited}))


def refuse(collection: str, action: JobAction, error: RdmsError) -> Plan:
    """The plan of a job that would be refused."""
    return Plan(collection, action, refusal=str(error), reason=explain_refusal(error))


def render_plan(plan: Plan) -> str:
    """The plan as XML text without a declaration."""
    return "".join(_write(plan))


def _write(plan: Plan) -> Iterator[str]:
    yield f'<{ROOT} xmlns="{NAMESPACE}">'
    yield write_element("CollectionAlias", plan.collection)
    yield write_element("Action", plan.action)
    yield write_element("Image", plan.image)
    yield write_element("Refusal", plan.refusal)
    yield write_element("ReasonCode", plan.reason)
    if plan.seconds is not None:
        yield write_element("EstimateSeconds", plan.seconds)
    yield write_element("EstimateBasis", plan.basis)
    for words in plan.warnings:
        yield write_element("Warning", words)
    for host in plan.hosts:
        yield "<Host>"
        yield write_element("HostName", host.name)
        yield write_element("Desktops", host.desktops)
        yield write_element("BytesAtFirst", host.bytes_at_first)
        yield write_element("BytesAtMost", host.bytes_at_most)
        yield write_element("FreeBytes", host.free_bytes)
        yield write_element("MemoryMiB", host.memory_mib)
        yield write_element("CopyBytes", host.copy_bytes)
        yield "</Host>"
    for desktop in plan.desktops:
        yield from _write_desktop(desktop)
    yield f"</{ROOT}>"


def _write_desktop(desktop: PlannedDesktop) -> Iterator[str]:
    yield "<Desktop>"
    yield write_element("VirtualDesktopName", desktop.name)
    yield write_element("HostName", desktop.host)
    yield write_element("ReasonCode", desktop.reason)
    if desktop.user:
        yield write_element("LogsOff", desktop.user)
    if desktop.awaited:
        yield write_element("WaitsFor", desktop.awaited)
    if desktop.note:
        yield write_element("Note", desktop.note)
    if desktop.wave:
        yield write_element("Wave", desktop.wave)
    yield "</Desktop>"


def parse_plan(text: str) -> Plan:
    """The plan in ``text``. InvalidParameter when it is none."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True)
    try:
        return _read(etree.fromstring(text.encode(), parser))
    except (etree.XMLSyntaxError, ValueError, KeyError) as error:
        raise InvalidParameter("Plan", f"not a job plan: {error}") from error


def _read(root: etree._Element) -> Plan:
    if root.tag != f"{{{NAMESPACE}}}{ROOT}":
        raise ValueError(f"its root is {root.tag}")
    facts = read_texts(root, NAMESPACE)
    seconds = facts.get("EstimateSeconds")
    return Plan(
        collection=facts["CollectionAlias"],
        action=_read_action(facts["Action"]),
        image=facts["Image"],
        refusal=facts["Refusal"],
        reason=facts["ReasonCode"],
        seconds=None if seconds is None else int(seconds),
        basis=facts["EstimateBasis"],
        warnings=tuple(one.text or "" for one in root.iterchildren(f"{{{NAMESPACE}}}Warning")),
        hosts=tuple(map(_read_host, root.iterchildren(f"{{{NAMESPACE}}}Host"))),
        desktops=tuple(map(_read_desktop, root.iterchildren(f"{{{NAMESPACE}}}Desktop"))),
    )


def _read_action(text: str) -> JobAction | PlannedChange:
    return PlannedChange(text) if text in set(PlannedChange) else JobAction(text)


def _read_host(element: etree._Element) -> PlannedHost:
    facts = read_texts(element, NAMESPACE)
    return PlannedHost(
        name=facts["HostName"],
        desktops=int(facts["Desktops"]),
        bytes_at_first=int(facts["BytesAtFirst"]),
        bytes_at_most=int(facts["BytesAtMost"]),
        free_bytes=int(facts["FreeBytes"]),
        memory_mib=int(facts["MemoryMiB"]),
        copy_bytes=int(facts["CopyBytes"]),
    )


def _read_desktop(element: etree._Element) -> PlannedDesktop:
    facts = read_texts(element, NAMESPACE)
    return PlannedDesktop(
        name=facts["VirtualDesktopName"],
        host=facts["HostName"],
        reason=facts["ReasonCode"],
        user=facts.get("LogsOff", ""),
        awaited=facts.get("WaitsFor", ""),
        note=facts.get("Note", ""),
        wave=int(facts.get("Wave", 0)),
    )
