"""Jobs as clients ask for them in JSON, and as the interface has them: XML documents."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from openrdms.frontends.web.api.shapes import Input, Line, Name, example
from openrdms.model.errors import InvalidParameter
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import (
    MAX_DESKTOPS,
    MAX_DOCUMENT,
    HostAllocation,
    JobDocument,
    OnError,
    render_job,
)
from openrdms.model.rollout import parse_share, parse_waves

FIELDS = {
    "Name": "collection",
    "BaseVmLocation": "image",
    "NamingPrefix": "name_prefix",
    "NamingStartIndex": "start_index",
    "Domain": "domain",
    "OU": "ou",
    "UnattendXml": "unattend_xml",
    "HyperVHost": "hosts",
    "NumberVms": "hosts",
    "SelectedVm": "desktops",
    "Action": "action",
    "Waves": "waves",
    "MaxUnavailable": "max_unavailable",
    "Probe": "probe",
    "VhdType": "disk",
    "LocalVmCreationPath": "local_path",
}
"""What elements of the document are called here."""


class Action(StrEnum):
    """Create makes the first desktops of a collection, update more of them; patch gives the ones
    there are a new image; delete removes some, or all.
    """

    CREATE = "create"
    UPDATE = "update"
    PATCH = "patch"
    DELETE = "delete"


class Disk(StrEnum):
    """An overlay on the image, or a copy of it."""

    LINKED = "linked"
    FULL = "full"


class Failure(StrEnum):
    """What a desktop that failed means for the rest."""

    STOP = "stop"
    CONTINUE = "continue"


class Allocation(Input):
    """So many desktops on a host; without ``host`` the service chooses."""

    host: Line = ""
    count: Annotated[int, Field(ge=0, le=MAX_DESKTOPS)]


class JobRequest(Input):
    """A provisioning job. ``image`` is image:NAME, image:NAME@VERSION, or a disk file on the
    service's machine. ``desktops`` are those to delete or to patch, none of them means all.
    ``waves``, ``max_unavailable`` and ``probe`` are a patch's: shares that grow up to 100%, how
    many are in work at a time, and a command that a good desktop ends with 0.
    """

    model_config = example(
        action="create",
        collection="pool",
        image="image:desktop",
        name_prefix="vd-",
        hosts=[{"count": 20}],
    )

    action: Annotated[Action, Field(strict=False)]
    collection: Name
    image: Line = ""
    disk: Annotated[Disk, Field(strict=False)] = Disk.LINKED
    on_error: Annotated[Failure, Field(strict=False)] = Failure.STOP
    hosts: Annotated[list[Allocation], Field(max_length=1000, default_factory=list)]
    desktops: Annotated[list[Line], Field(max_length=10_000, default_factory=list)]
    name_prefix: Line = ""
    start_index: Annotated[int, Field(ge=0, lt=2**31)] = 1
    start: bool = True
    domain: Line = ""
    ou: Line = ""
    unattend_xml: Annotated[str, Field(max_length=MAX_DOCUMENT // 2)] = ""
    local_path: Line = ""
    waves: Annotated[
        list[Line],
        Field(max_length=20, default_factory=list, examples=[["1%", "10%", "100%"]]),
    ]
    max_unavailable: Annotated[Line, Field(examples=["25%"])] = ""
    probe: Line = ""


_DISKS = {Disk.LINKED: DiskKind.LINKED, Disk.FULL: DiskKind.FULL}


def render_request(request: JobRequest) -> str:
    """The job's document. InvalidParameter."""
    document = JobDocument(
        action=JobAction(request.action.capitalize()),
        on_error=OnError(request.on_error.capitalize()),
        collection=request.collection,
        disk_kind=_DISKS[request.disk],
        base_vm_location=request.image,
        local_vm_path=request.local_path,
        name_prefix=request.name_prefix,
        start_index=request.start_index,
        domain=request.domain,
        ou=request.ou,
        unattend_xml=request.unattend_xml,
        hosts=tuple(HostAllocation(one.host, one.count) for one in request.hosts),
        selected=tuple(request.desktops),
        start=request.start,
        waves=parse_waves("Waves", ",".join(request.waves)) if request.waves else (),
        max_unavailable=parse_share("MaxUnavailable", request.max_unavailable)
        if request.max_unavailable
        else None,
        probe=request.probe,
    )
    try:
        return render_job(document)
    except ValueError as error:  # what XML cannot hold
        raise InvalidParameter("unattend_xml", f"cannot be written as XML: {error}") from error
