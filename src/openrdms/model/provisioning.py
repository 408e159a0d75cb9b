"""The provisioning job document (facts c.1): ``parse_job`` and ``render_job`` are inverse.

All elements are in one namespace, in one order, without attributes. Clients paste values in
without escaping them, so that malformed XML is an everyday input. Every refusal is an
InvalidParameter that names the element.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from lxml import etree

from openrdms.model.errors import InvalidParameter
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.rollout import Share, parse_share, parse_waves, render_waves
from openrdms.model.xml_document import check_text, parse_xml

NAMESPACE = "http://www.microsoft.com/rdv/2010/05/"
EXTENSION_NAMESPACE = "urn:openrdms:job"
"""Ours, the last children of Job: Start (false leaves the desktops off); of a Patch besides Waves
(1%,10%,100%), MaxUnavailable (a number or percent) and Probe (a command line for the guest)."""

MAX_DOCUMENT = 1 << 20
"""Characters of a whole document; the largest real ones carry an unattend file of some 100 KiB."""

MAX_VALUE = 4096
MAX_NAME = 127
"""Characters of a VM or host name (facts c.5)."""

MAX_DESKTOPS = 100_000
"""Desktops of one job, over all hosts."""

_START, _WAVES, _MAX_UNAVAILABLE, _PROBE = _EXTENSIONS = tuple(
    f"{{{EXTENSION_NAMESPACE}}}{name}" for name in ("Start", "Waves", "MaxUnavailable", "Probe")
)
_VM_ELEMENTS = (
    "BaseVmLocation",
    "SMBShare",
    "LocalVmCreationPath",
    "LocalGoldCachePath",
    "RunVMsFromSMB",
    "EnableVmStreaming",
    "NamingPrefix",
    "NamingStartIndex",
    "Domain",
    "OU",
    "UnattendXml",
)
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_DN_PART = re.compile(r"\s*(?:OU|CN|DC|O|C|L|ST)\s*=\s*(?:\\.|[^\\,=+<>#;\"])+", re.IGNORECASE)

_Named = TypeVar("_Named", bound=StrEnum)


class OnError(StrEnum):
    """What a failed desktop means for the rest of its job."""

    STOP = "Stop"
    CONTINUE = "Continue"


@dataclass(frozen=True)
class HostAllocation:
    """``count`` desktops on the host called ``host``; "" leaves the host to the service."""

    host: str
    count: int


@dataclass(frozen=True)
class JobDocument:
    """One job as asked for. Texts are without surrounding blanks, except ``unattend_xml``.

    ``ou`` and ``unattend_xml`` are kept of a Create only: the stock client fills them wrongly in
    later jobs (facts c.1, traps). ``selected`` empty means nobody: under Delete and Patch that
    is the whole collection. Of a Patch: ``waves`` (none is one wave), ``max_unavailable`` (None
    leaves it to the service), and ``probe``, a command line that a good desktop ends with 0.
    """

    action: JobAction
    on_error: OnError
    collection: str
    disk_kind: DiskKind
    mark_ha: bool = False
    base_vm_location: str = ""
    smb_share: str = ""
    local_vm_path: str = ""
    local_gold_path: str = ""
    run_from_smb: bool = False
    streaming: bool = False
    name_prefix: str = ""
    start_index: int = 1
    domain: str = ""
    ou: str = ""
    unattend_xml: str = ""
    hosts: tuple[HostAllocation, ...] = ()
    selected: tuple[str, ...] = ()
    start: bool = True
    waves: tuple[Share, ...] = ()
    max_unavailable: Share | None = None
    probe: str = ""

    @property
    def makes_desktops(self) -> bool:
        """True for the actions that add desktops."""
        return self.action in (JobAction.CREATE, JobAction.UPDATE)


def parse_job(text: str) -> JobDocument:
    """The job in ``text``. InvalidParameter names the element that is wrong."""
    root = parse_xml(text, "JobInputXml", MAX_DOCUMENT)
    if root.tag != _q("RDVProvisioning"):
        raise InvalidParameter(_local(root), f"the root must be RDVProvisioning in {NAMESPACE}")
    request = _children(root, ("ProvisionPoolRequest",))["ProvisionPoolRequest"]
    parts = _children(
        request, ("Job", "Pool", "Vm", "HyperVHosts", "SelectedVms"), ("HyperVHosts",)
    )
    job = _children(parts["Job"], ("Action", "OnError", *_EXTENSIONS), _EXTENSIONS)
    pool = _texts(parts["Pool"], ("Name", "VhdType", "Mark_HA"))
    action = _choice(JobAction, "Action", _text(job["Action"]))
    if action is JobAction.PREP:
        raise InvalidParameter("Action", "Prep is not an action of a job document")
    document = JobDocument(
        action=action,
        on_error=_choice(OnError, "OnError", _text(job["OnError"])),
        collection=_required("Name", pool["Name"]),
        disk_kind=_choice(DiskKind, "VhdType", pool["VhdType"]),
        mark_ha=_flag("Mark_HA", pool["Mark_HA"], ("No", "Yes")),
        hosts=_parse_hosts(parts.get("HyperVHosts")),
        selected=_parse_selected(parts["SelectedVms"]),
        start=_START not in job or _flag("Start", _text(job[_START]), ("false", "true")),
    )
    document = _with_rollout(_with_vm(document, parts["Vm"]), job)
    for rule in _RULES:
        rule(document)
    return document


def render_job(document: JobDocument) -> str:
    """The document as clients send it: a string that declares utf-16, values escaped.

    InvalidParameter names an element whose text has characters that XML cannot hold.
    """
    root = etree.Element(_q("RDVProvisioning"), nsmap={"rdvp": NAMESPACE})
    request = etree.SubElement(root, _q("ProvisionPoolRequest"))
    job = _group(request, "Job", {"Action": document.action, "OnError": document.on_error})
    for name, text in _extensions(document).items():
        _add(job, name, text)
    pool = {"Name": document.collection, "VhdType": document.disk_kind}
    _group(request, "Pool", pool | {"Mark_HA": "Yes" if document.mark_ha else "No"})
    vm = _group(request, "Vm", dict(zip(_VM_ELEMENTS, _vm_values(document), strict=True)))
    check_text("UnattendXml", document.unattend_xml)
    vm[-1].text = etree.CDATA(document.unattend_xml) if document.unattend_xml else None
    hosts = etree.SubElement(request, _q("HyperVHosts"))
    for allocation in document.hosts:
        values = {"Name": allocation.host, "NumberVms": str(allocation.count)}
        _group(hosts, "HyperVHost", values)
    selected = etree.SubElement(request, _q("SelectedVms"))
    for name in document.selected:
        _add(selected, "SelectedVm", name)
    body = etree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-16"?>{body}'


def _extensions(document: JobDocument) -> dict[str, str]:
    """What the document says beyond the interface."""
    values = {
        _START: "" if document.start else "false",
        _WAVES: render_waves(document.waves),
        _MAX_UNAVAILABLE: str(document.max_unavailable or ""),
        _PROBE: document.probe,
    }
    return {name: text for name, text in values.items() if text}


def _vm_values(document: JobDocument) -> tuple[str, ...]:
    return (
        document.base_vm_location,
        document.smb_share,
        document.local_vm_path,
        document.local_gold_path,
        str(int(document.run_from_smb)),
        str(int(document.streaming)),
        document.name_prefix,
        str(document.start_index),
        document.domain,
        document.ou,
        "",
    )


def _group(parent: etree._Element, name: str, values: Mapping[str, str]) -> etree._Element:
    group = etree.SubElement(parent, _q(name))
    for child, value in values.items():
        _add(group, child, value)
    return group


def _add(parent: etree._Element, name: str, text: str) -> None:
    element = etree.SubElement(parent, _q(name))
    check_text(_local(element), text)
    element.text = text


# reading


def _q(name: str) -> str:
    return name if name.startswith("{") else f"{{{NAMESPACE}}}{name}"


def _local(element: etree._Element) -> str:
    return str(etree.QName(element).localname)


def _children(
    parent: etree._Element, names: tuple[str, ...], optional: tuple[str, ...] = ()
) -> dict[str, etree._Element]:
    """The children by the given names: all there but the optional, once each, in that order."""
    _check_container(parent)
    found: dict[str, etree._Element] = {}
    for child in parent:
        name = next((name for name in names if _q(name) == child.tag), None)
        if name is None:
            raise InvalidParameter(_local(child), f"unknown element in {_local(parent)}")
        if name in found or any(names.index(other) > names.index(name) for other in found):
            raise InvalidParameter(_local(child), f"repeated or out of order in {_local(parent)}")
        found[name] = child
    for name in names:
        if name not in found and name not in optional:
            raise InvalidParameter(name, f"missing from {_local(parent)}")
    return found


def _check_container(element: etree._Element) -> None:
    between = [element.text, *(child.tail for child in element)]
    if any(text and text.strip() for text in between):
        raise InvalidParameter(_local(element), "text between its elements")
    _check_bare(element)


def _check_bare(element: etree._Element) -> None:
    if element.attrib:
        raise InvalidParameter(_local(element), "attributes are not allowed")


def _text(element: etree._Element, limit: int = MAX_VALUE) -> str:
    _check_bare(element)
    if len(element):
        raise InvalidParameter(_local(element), "a text is expected, not elements")
    text = element.text or ""
    if len(text) > limit:
        raise InvalidParameter(_local(element), f"longer than {limit} characters")
    return text.strip()


def _texts(parent: etree._Element, names: tuple[str, ...]) -> dict[str, str]:
    return {name: _text(child) for name, child in _children(parent, names).items()}


def _choice(kind: type[_Named], element: str, text: str) -> _Named:
    for member in kind:
        if member.value.lower() == text.lower():
            return member
    raise InvalidParameter(element, f"{text!r} is none of {', '.join(kind)}")


def _flag(element: str, text: str, words: tuple[str, str]) -> bool:
    """False for the first of ``words``, True for the second."""
    lower = [word.lower() for word in words]
    if text.lower() not in lower:
        raise InvalidParameter(element, f"{text!r} is neither {words[0]} nor {words[1]}")
    return bool(lower.index(text.lower()))


def _number(element: str, text: str, limit: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > limit:
        raise InvalidParameter(element, f"{text!r} is not a number from 0 to {limit}")
    return int(text)


def _required(element: str, text: str) -> str:
    if not text:
        raise InvalidParameter(element, "must not be empty")
    return text


def _with_vm(document: JobDocument, vm: etree._Element) -> JobDocument:
    """The document with the fields of Vm; OU and unattend text are a Create's only."""
    children = _children(vm, _VM_ELEMENTS)
    unattend = children.pop("UnattendXml")
    text = {name: _text(child) for name, child in children.items()}
    _text(unattend, MAX_DOCUMENT)
    first = document.action is JobAction.CREATE
    return replace(
        document,
        base_vm_location=text["BaseVmLocation"],
        smb_share=text["SMBShare"],
        local_vm_path=text["LocalVmCreationPath"],
        local_gold_path=text["LocalGoldCachePath"],
        run_from_smb=_flag("RunVMsFromSMB", text["RunVMsFromSMB"], ("0", "1")),
        streaming=_flag("EnableVmStreaming", text["EnableVmStreaming"], ("0", "1")),
        name_prefix=text["NamingPrefix"],
        start_index=_number("NamingStartIndex", text["NamingStartIndex"], 2**31 - 1),
        domain=text["Domain"],
        ou=text["OU"] if first else "",
        unattend_xml=(unattend.text or "") if first else "",
    )


def _with_rollout(document: JobDocument, job: Mapping[str, etree._Element]) -> JobDocument:
    """The document with how an update is rolled out; an element that is there says something."""
    text = {
        name: _required(_local(job[name]), _text(job[name])) for name in _EXTENSIONS if name in job
    }
    if _WAVES in text:
        document = replace(document, waves=parse_waves("Waves", text[_WAVES]))
    if _MAX_UNAVAILABLE in text:
        share = parse_share("MaxUnavailable", text[_MAX_UNAVAILABLE])
        document = replace(document, max_unavailable=share)
    return replace(document, probe=text.get(_PROBE, ""))


def _parse_hosts(hosts: etree._Element | None) -> tuple[HostAllocation, ...]:
    entries = [] if hosts is None else _entries(hosts, "HyperVHost")
    allocations = []
    for entry in entries:
        values = _texts(entry, ("Name", "NumberVms"))
        if len(values["Name"]) > MAX_NAME:
            raise InvalidParameter("HyperVHost", f"Name is longer than {MAX_NAME} characters")
        count = _number("NumberVms", values["NumberVms"], MAX_DESKTOPS)
        allocations.append(HostAllocation(values["Name"], count))
    return tuple(allocations)


def _parse_selected(selected: etree._Element) -> tuple[str, ...]:
    """VM names; an empty SelectedVm says the same as none: nobody (facts c.1, traps)."""
    names = [_text(entry, MAX_NAME) for entry in _entries(selected, "SelectedVm")]
    return tuple(name for name in names if name)


def _entries(parent: etree._Element, name: str) -> list[etree._Element]:
    """The children of a list, all of one name."""
    _check_container(parent)
    for child in parent:
        if child.tag != _q(name):
            raise InvalidParameter(_local(child), f"unknown element in {_local(parent)}")
    return list(parent)


# rules on values


def _check_makes_or_selects(document: JobDocument) -> None:
    """Naming hosts in a Delete, or desktops in a Create, shows a misunderstanding: refuse."""
    if document.makes_desktops:
        if document.selected:
            raise InvalidParameter("SelectedVm", f"{document.action} makes desktops, none exists")
        total = sum(allocation.count for allocation in document.hosts)
        if document.hosts and not 0 < total <= MAX_DESKTOPS:
            raise InvalidParameter("NumberVms", f"{total} in all, not 1 to {MAX_DESKTOPS}")
    elif document.hosts:
        raise InvalidParameter("HyperVHost", f"{document.action} takes desktops, not hosts")


def _check_rollout(document: JobDocument) -> None:
    """Only an update finds desktops that are in use."""
    given = {
        "Waves": document.waves,
        "MaxUnavailable": document.max_unavailable,
        "Probe": document.probe,
    }
    for element, value in given.items():
        if value and document.action is not JobAction.PATCH:
            raise InvalidParameter(element, f"is of a Patch, not of {document.action}")
    if not document.probe.isprintable():  # cmd.exe would run the first line only
        raise InvalidParameter("Probe", "must be one line of printable characters")


def _check_names(document: JobDocument) -> None:
    if document.action is JobAction.CREATE:
        _required("BaseVmLocation", document.base_vm_location)
        _required("NamingPrefix", document.name_prefix)
    prefix = document.name_prefix
    if prefix and (not _PREFIX.fullmatch(prefix) or len(prefix) > MAX_NAME):
        raise InvalidParameter("NamingPrefix", "only letters, digits and, not first, - and _")


def _check_domain(document: JobDocument) -> None:
    labels = document.domain.removesuffix(".").split(".")
    if document.domain and (
        len(document.domain) > 255 or not all(_LABEL.fullmatch(label) for label in labels)
    ):
        raise InvalidParameter("Domain", f"{document.domain!r} is not the name of a domain")


def _check_ou(document: JobDocument) -> None:
    """A distinguished name (RFC 4514), as the client sends it."""
    if document.ou and not all(
        _DN_PART.fullmatch(part) for part in re.split(r"(?<!\\),", document.ou)
    ):
        raise InvalidParameter("OU", f"{document.ou!r} is not a distinguished name")


def _check_unattend(document: JobDocument) -> None:
    """The service names and joins computers; an unattend file that does so too is refused."""
    if not document.unattend_xml.strip():
        return
    root = parse_xml(document.unattend_xml, "UnattendXml", MAX_DOCUMENT)
    for element in root.iter(etree.Element):
        if _local(element) == "ComputerName":
            raise InvalidParameter("UnattendXml", "must not hold a ComputerName element")
        if element.get("name", "").lower() == "microsoft-windows-unattendedjoin":
            raise InvalidParameter("UnattendXml", "must not hold an UnattendedJoin component")


_RULES: tuple[Callable[[JobDocument], None], ...] = (
    _check_makes_or_selects,
    _check_rollout,
    _check_names,
    _check_domain,
    _check_ou,
    _check_unattend,
)
