"""Published applications, the files they open, and what could be published."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from openrdms.cim.guard import CREATE, DELETE, ENUMERATE, GET, MODIFY
from openrdms.frontends.web.api.shapes import Input, Line, Name
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.fields import renamed
from openrdms.frontends.web.idempotency import IdempotentRoute
from openrdms.frontends.web.paging import Page, Paging, Part
from openrdms.frontends.web.visitors import Reader, Writer
from openrdms.model.errors import InvalidParameter
from openrdms.model.publishing import Application as Record
from openrdms.model.publishing import CommandLine
from openrdms.model.publishing import FileType as FileTypeRecord

router = APIRouter(prefix="/applications", tags=["applications"], route_class=IdempotentRoute)

_CLASS = "Win32_RDMSPublishedApplication"
_FILE_TYPE = "Win32_RDMSFileTypeAssociation"
_FIELDS = {
    "AppAlias": "alias",
    "PoolName": "collection",
    "DisplayName": "name",
    "AppPath": "path",
    "VirtualPath": "virtual_path",
    "RequiredCommandLine": "required_command_line",
    "SecurityDescriptor": "security_descriptor",
    "Folder": "folder",
    "IconPath": "icon_path",
    "IconIndex": "icon_index",
    "ExtName": "extension",
    "ProgIdHint": "prog_id_hint",
}


class Arguments(StrEnum):
    """Whether users may give an application arguments, or it always has its own."""

    DO_NOT_ALLOW = "none"
    ALLOW = "any"
    REQUIRE = "required"


class Application(BaseModel):
    """An application that a collection publishes. Without a ``security_descriptor`` it is for
    whoever may use the collection.
    """

    collection: str
    alias: str
    name: str
    path: str
    virtual_path: str
    show_in_portal: bool
    security_descriptor: str | None
    arguments: Arguments
    required_command_line: str | None
    folder: str | None
    icon_path: str | None
    icon_index: int


class ApplicationChange(Input):
    """What is left out stays as it is."""

    name: Line | None = None
    path: Line | None = None
    virtual_path: Line | None = None
    show_in_portal: bool | None = None
    security_descriptor: Annotated[str | None, Field(max_length=65_536)] = None
    arguments: Annotated[Arguments | None, Field(strict=False)] = None
    required_command_line: Annotated[str | None, Field(max_length=4096)] = None
    folder: Line | None = None
    icon_path: Line | None = None
    icon_index: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None


class NewApplication(ApplicationChange):
    """An application to be published; ``path`` is its program's in the guest."""

    collection: Name
    alias: Name


class FileType(BaseModel):
    """Files that an application opens, by their extension with its dot."""

    extension: str
    is_published: bool
    is_primary_handler: bool
    prog_id_hint: str | None


class FileTypes(BaseModel):
    """Of one application."""

    items: list[FileType]


class FileTypeChange(Input):
    """How they are published."""

    is_published: bool = True
    is_primary_handler: bool = False
    prog_id_hint: Line | None = None


class InstalledApplication(BaseModel):
    """What a guest's menu shows."""

    name: str
    path: str
    arguments: str
    icon: str


class InstalledApplications(BaseModel):
    """What is installed in the desktop that was asked."""

    desktop: str
    items: list[InstalledApplication]


_NULLABLE = frozenset({"security_descriptor", "required_command_line", "folder", "icon_path"})


def read_page(backend: Backend, part: Part, collection: str = "") -> Page[Application]:
    """Applications in order of collection and alias."""
    found = backend.publishing.list_applications(collection or None)
    return part.cut(
        found,
        lambda one: f"{one.collection.casefold()}/{one.alias.casefold()}",
        render_application,
    )


def render_application(record: Record) -> Application:
    """An application as it is told."""
    same = {name: getattr(record, name) for name in Application.model_fields if name != "arguments"}
    return Application(**same, arguments=Arguments[record.command_line_setting.name])


def _read_changes(change: ApplicationChange) -> dict[str, Any]:
    """Fields of the record. InvalidParameter for null where there must be something."""
    given = change.model_dump(include=change.model_fields_set)
    for name, value in given.items():
        if value is None and name not in _NULLABLE:
            raise InvalidParameter(name, "cannot be null")
    if "arguments" in given:
        given["command_line_setting"] = CommandLine[given.pop("arguments").name]
    return given


@router.get("")
def list_applications(
    visitor: Reader, part: Paging, collection: Annotated[str, Query(max_length=256)] = ""
) -> Page[Application]:
    """All, or those of a collection."""
    with visitor.watch(_CLASS, ENUMERATE):
        return read_page(visitor.backend, part, collection)


@router.post("", status_code=201)
def publish_application(visitor: Writer, new: NewApplication, response: Response) -> Application:
    """Publish an application."""
    keys = {"PoolName": new.collection, "AppAlias": new.alias}
    with renamed(_FIELDS), visitor.watch(_CLASS, CREATE, on=keys):
        given = _read_changes(new)
        for name in ("name", "path"):
            if name not in given:
                raise InvalidParameter(name, "is missing")
        made = visitor.backend.publishing.publish(
            Record(**({"virtual_path": given["path"]} | given))
        )
    response.headers["location"] = f"/api/v1/applications/{made.collection}/{made.alias}"
    return render_application(made)


@router.get("/installed")
@on_hosts
def list_installed(
    visitor: Reader,
    collection: Annotated[str, Query(min_length=1, max_length=256)],
    desktop: Annotated[str, Query(max_length=256)] = "",
) -> InstalledApplications:
    """What is installed in a running desktop of a collection, and could be published."""
    with visitor.watch(_CLASS, ENUMERATE):
        found = visitor.backend.installed_applications.list(collection, desktop or None)
    items = [InstalledApplication(**vars(one)) for one in found.applications]
    return InstalledApplications(desktop=found.desktop, items=items)


@router.get("/{collection}/{alias}")
def get_application(visitor: Reader, collection: Name, alias: Name) -> Application:
    """One application."""
    with visitor.watch(_CLASS, GET, on={"PoolName": collection, "AppAlias": alias}):
        return render_application(visitor.backend.publishing.get_application(collection, alias))


@router.patch("/{collection}/{alias}")
def change_application(
    visitor: Writer, collection: Name, alias: Name, change: ApplicationChange
) -> Application:
    """Change what is given."""
    keys = {"PoolName": collection, "AppAlias": alias}
    with renamed(_FIELDS), visitor.watch(_CLASS, MODIFY, on=keys):
        visitor.backend.publishing.modify_application(collection, alias, **_read_changes(change))
    return render_application(visitor.backend.publishing.get_application(collection, alias))


@router.delete("/{collection}/{alias}", status_code=204)
def withdraw_application(visitor: Writer, collection: Name, alias: Name) -> None:
    """Publish it no more."""
    with visitor.watch(_CLASS, DELETE, on={"PoolName": collection, "AppAlias": alias}):
        visitor.backend.publishing.withdraw(collection, alias)


@router.get("/{collection}/{alias}/file-types")
def list_file_types(visitor: Reader, collection: Name, alias: Name) -> FileTypes:
    """Files that it opens."""
    with visitor.watch(_FILE_TYPE, ENUMERATE):
        visitor.backend.publishing.get_application(collection, alias)
        found = visitor.backend.publishing.list_file_types(collection, alias)
        return FileTypes(items=[_render_type(one) for one in found])


@router.put("/{collection}/{alias}/file-types/{extension}")
def put_file_type(
    visitor: Writer, collection: Name, alias: Name, extension: Name, change: FileTypeChange
) -> FileType:
    """Have it open files of an extension."""
    publishing = visitor.backend.publishing
    keys = {"PoolName": collection, "AppAlias": alias, "ExtName": extension}
    with renamed(_FIELDS), visitor.watch(_FILE_TYPE, MODIFY, on=keys):
        publishing.get_application(collection, alias)
        known = {one.extension.casefold() for one in publishing.list_file_types(collection, alias)}
        if extension.casefold() in known:
            publishing.modify_file_type(collection, alias, extension, **change.model_dump())
        else:
            new = FileTypeRecord(collection, alias, extension, **change.model_dump())
            publishing.add_file_type(new)
    return _render_type(publishing.get_file_type(collection, alias, extension))


@router.delete("/{collection}/{alias}/file-types/{extension}", status_code=204)
def remove_file_type(visitor: Writer, collection: Name, alias: Name, extension: Name) -> None:
    """Have it open them no more."""
    keys = {"PoolName": collection, "AppAlias": alias, "ExtName": extension}
    with visitor.watch(_FILE_TYPE, DELETE, on=keys):
        visitor.backend.publishing.remove_file_type(collection, alias, extension)


def _render_type(record: FileTypeRecord) -> FileType:
    return FileType(**{name: getattr(record, name) for name in FileType.model_fields})
