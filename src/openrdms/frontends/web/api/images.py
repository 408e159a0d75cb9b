"""Golden images: built, imported, compared and removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, StringConstraints

from openrdms.cim.guard import DELETE, ENUMERATE, GET
from openrdms.frontends.web.api.shapes import Input, Line, Name
from openrdms.frontends.web.api.tasks import Task, render
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.idempotency import IdempotentRoute
from openrdms.frontends.web.paging import Page, Paging, Part
from openrdms.frontends.web.visitors import Reader, Visitor, Writer
from openrdms.model.errors import InvalidParameter, NotFound
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.services.image_removal import Removal
from openrdms.services.images import ImageOptions
from openrdms.services.tasks import Work

router = APIRouter(prefix="/images", tags=["images"], route_class=IdempotentRoute)

_CLASS = "OpenRDMS_Image"

ImageName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class Variant(StrEnum):
    """What this service can build: a small console, and a desktop."""

    TINY = "tiny"
    DESKTOP = "desktop"


class Image(BaseModel):
    """One version. Jobs name it ``reference``; the newest one of a name is also image:NAME."""

    reference: str
    name: str
    version: int
    os: GuestOs
    firmware: Firmware
    disk_bus: DiskBus
    memory_mib: int
    vcpus: int
    virtual_bytes: int
    sha256: str
    created: datetime
    parent: str
    source: str
    generalised: bool


class GuestOptions(Input):
    """What a version is to say of its guest; null leaves it to the image or its default."""

    os: Annotated[GuestOs | None, Field(strict=False)] = None
    firmware: Annotated[Firmware | None, Field(strict=False)] = None
    disk_bus: Annotated[DiskBus | None, Field(strict=False)] = None
    memory_mib: Annotated[int | None, Field(ge=64, le=1 << 20)] = None
    vcpus: Annotated[int | None, Field(ge=1, le=256)] = None


class ImageBuild(GuestOptions):
    """``autologin``: alice is logged on as soon as the guest runs, so it can be no spare."""

    name: ImageName
    variant: Annotated[Variant, Field(strict=False)]
    autologin: bool = True


class ImageImport(GuestOptions):
    """``file`` is a qcow2, VHDX, VMDK or raw disk on the service's machine."""

    name: ImageName
    file: Annotated[Line, Field(min_length=1, examples=["/srv/disks/windows11.vhdx"])]


class ImageComparison(Input):
    """Two versions, NAME@VERSION."""

    before: Name
    after: Name


class RemovedImage(BaseModel):
    """``kept_for`` says who needs it, "" when it was removed; ``later`` are hosts that drop their
    copies when they can; ``freed_bytes`` are free again on the service's machine.
    """

    reference: str
    kept_for: str
    later: list[str]
    freed_bytes: int


class RemovedImages(BaseModel):
    """What became of each version."""

    items: list[RemovedImage]


def read_page(backend: Backend, part: Part, name: str = "") -> Page[Image]:
    """Versions in order of name and number."""
    found = [one for one in backend.images.list() if name.casefold() in ("", one.name.casefold())]
    return part.cut(found, lambda one: f"{one.name.casefold()}@{one.version:09}", _render)


def _render(image: ImageVersion) -> Image:
    return Image(**{name: getattr(image, name) for name in Image.model_fields})


def _options(asked: GuestOptions, **more: Any) -> ImageOptions:
    given = asked.model_dump(include=set(GuestOptions.model_fields))
    return ImageOptions(**given, **more)


def _summarise(image: ImageVersion) -> Mapping[str, Any]:
    return {"image": image.reference}


@router.get("")
def list_images(
    visitor: Reader, part: Paging, name: Annotated[str, Query(max_length=63)] = ""
) -> Page[Image]:
    """All versions, or those of one name."""
    with visitor.watch(_CLASS, ENUMERATE):
        return read_page(visitor.backend, part, name)


@router.get("/{reference}")
def get_image(visitor: Reader, reference: Name) -> Image:
    """NAME@VERSION, or the newest version of NAME."""
    name, _, version = reference.partition("@")
    with visitor.watch(_CLASS, GET):
        found = [
            one
            for one in visitor.backend.images.list()
            if one.name.casefold() == name.casefold() and version in ("", str(one.version))
        ]
    if not found:
        raise NotFound(f"there is no image {reference!r}")
    return _render(found[-1])


@router.delete("/{reference}")
@on_hosts
def remove_image(visitor: Writer, reference: Name) -> RemovedImages:
    """Remove NAME@VERSION, or of NAME every version that nobody needs."""
    with visitor.watch(_CLASS, DELETE, on={"Name": reference}):
        return _tell(visitor.backend.image_removal.remove(reference))


@router.post("/{reference}/removal/plan")
@on_hosts
def plan_image_removal(visitor: Reader, reference: Name) -> RemovedImages:
    """What removing would do now, and refuses; nothing changes."""
    with visitor.watch(_CLASS, GET):
        return _tell(visitor.backend.image_removal.plan(reference))


def _tell(removed: Iterable[Removal]) -> RemovedImages:
    return RemovedImages(
        items=[
            RemovedImage(
                reference=one.image.reference,
                kept_for=one.kept,
                later=list(one.later),
                freed_bytes=one.freed,
            )
            for one in removed
        ]
    )


@router.post("/builds", status_code=202)
def build_image(visitor: Writer, asked: ImageBuild, response: Response) -> Task:
    """Build the next version of an image, as a task."""
    images, options = visitor.backend.images, _options(asked, autologin=asked.autologin)

    def build(progress: Any) -> Mapping[str, Any]:
        return _summarise(images.build(asked.name, asked.variant, options, progress))

    with visitor.watch(
        _CLASS, "Build", on={"Name": asked.name}, values={"variant": asked.variant.value}
    ):
        return _start(visitor, "build", asked.name, build, response)


@router.post("/imports", status_code=202)
def import_image(visitor: Writer, asked: ImageImport, response: Response) -> Task:
    """Import a disk as the next version of an image, as a task."""
    images, options, file = visitor.backend.images, _options(asked), Path(asked.file)
    with visitor.watch(_CLASS, "Import", on={"Name": asked.name}, values={"file": asked.file}):
        if not file.is_absolute() or not file.is_file():
            raise InvalidParameter("file", f"{asked.file!r} is no file here, by its full path")

        def take_in(progress: Any) -> Mapping[str, Any]:
            return _summarise(images.import_file(asked.name, file, options, progress))

        return _start(visitor, "import", asked.name, take_in, response)


@router.post("/comparisons", status_code=202)
def compare_images(visitor: Reader, asked: ImageComparison, response: Response) -> Task:
    """Find what differs between two versions, as a task: packages and files."""
    comparing = visitor.backend.image_diff

    def compare(progress: Any) -> Mapping[str, Any]:
        return asdict(comparing.compare(asked.before, asked.after, progress))

    with visitor.watch(_CLASS, GET):
        for reference in (asked.before, asked.after):
            visitor.backend.images.resolve(f"image:{reference}")
        return _start(visitor, "compare", f"{asked.before} {asked.after}", compare, response)


def _start(visitor: Visitor, kind: str, subject: str, work: Work, response: Response) -> Task:
    task = visitor.backend.tasks.start(kind, subject, visitor.account.name, work)
    response.headers["location"] = f"/api/v1/tasks/{task.id}"
    return render(task)
