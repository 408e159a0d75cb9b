"""Personal session desktops: which user has which server of a collection. Users of virtual desktops
are those desktops' own.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from openrdms.cim.guard import ENUMERATE
from openrdms.frontends.web.api.shapes import Input, Line, Name
from openrdms.frontends.web.fields import renamed
from openrdms.frontends.web.idempotency import IdempotentRoute
from openrdms.frontends.web.paging import Page, Paging
from openrdms.frontends.web.visitors import Reader, Writer
from openrdms.model.assignment import Assignment as Record
from openrdms.model.assignment import AssignmentFilter

router = APIRouter(prefix="/assignments", tags=["assignments"], route_class=IdempotentRoute)

_CLASS = "Win32_RDMSDesktopAssignment"
_FIELDS = {
    "CollectionAlias": "collection",
    "DesktopName": "desktop",
    "UserName": "user",
    "UserDomain": "domain",
}


class Assignment(BaseModel):
    """A user has a server to himself."""

    collection: str
    desktop: str
    user: str
    domain: str


class NewAssignment(Input):
    """A server of a personal collection of sessions, and whose it is to be."""

    collection: Name
    desktop: Name
    user: Annotated[Line, Field(min_length=1)]
    domain: Annotated[Line, Field(min_length=1)]


def _render(record: Record) -> Assignment:
    return Assignment(
        collection=record.collection,
        desktop=record.desktop,
        user=record.user,
        domain=record.user_domain,
    )


_Filter = Annotated[str, Query(max_length=256)]


@router.get("")
def list_assignments(
    visitor: Reader,
    part: Paging,
    collection: _Filter = "",
    desktop: _Filter = "",
    user: _Filter = "",
    domain: _Filter = "",
) -> Page[Assignment]:
    """All that meet every condition, in order of collection and desktop."""
    wanted = AssignmentFilter(collection or None, desktop or None, user or None, domain or None)
    with visitor.watch(_CLASS, ENUMERATE):
        found = visitor.backend.assignments.list_assignments(wanted)
        return part.cut(
            found, lambda one: f"{one.collection.casefold()}/{one.desktop.casefold()}", _render
        )


@router.post("", status_code=201)
def add_assignment(visitor: Writer, new: NewAssignment) -> Assignment:
    """Give a server to a user."""
    values = {
        "CollectionAlias": new.collection,
        "DesktopName": new.desktop,
        "UserName": new.user,
        "UserDomain": new.domain,
    }
    with renamed(_FIELDS), visitor.watch(_CLASS, "AddDesktopAssignment", values=values):
        record = Record(new.collection, new.desktop, new.user, new.domain)
        return _render(visitor.backend.assignments.add(record))


@router.delete("/{collection}/{desktop}", status_code=204)
def remove_assignment(visitor: Writer, collection: Name, desktop: Name) -> None:
    """Take a server from its user."""
    values = {"CollectionAlias": collection, "DesktopName": desktop}
    with renamed(_FIELDS), visitor.watch(_CLASS, "RemoveDesktopAssignment", values=values):
        visitor.backend.assignments.remove(collection, desktop=desktop, user="", user_domain="")
