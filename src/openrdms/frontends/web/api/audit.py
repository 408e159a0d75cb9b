"""The audit log, and what nobody accounts for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from openrdms.cim.guard import ENUMERATE
from openrdms.frontends.web.api.shapes import Moment
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.paging import Page, Paging, Part
from openrdms.frontends.web.visitors import Reader
from openrdms.model.audit import ASKED, AuditedCall, AuditQuery
from openrdms.model.errors import InvalidParameter

router = APIRouter(prefix="/audit", tags=["audit"])

_CLASS = "OpenRDMS_AuditLog"
_DESKTOP = "Win32_RDMSVirtualDesktop"


class AuditEntry(BaseModel):
    """What was asked or refused, and what came of it: 0 for done, else a code or a word. Values
    that may be secret are not kept.
    """

    sequence: int
    time: datetime
    who: str
    address: str
    what: str
    on: dict[str, Any]
    parameters: dict[str, Any]
    outputs: dict[str, Any]
    result: str
    reason: str
    ended: datetime | None


class ChainState(BaseModel):
    """What a walk along the whole log came to; nothing is wrong without ``problems``."""

    count: int
    hash: str
    problems: list[str]


class OrphanEntry(BaseModel):
    """A thing of ours that nobody accounts for, and what the service does about it."""

    host: str
    kind: str
    name: str
    reason: str
    code: str
    remedy: str


class Orphans(BaseModel):
    """``unreachable`` are hosts of which nothing can be said."""

    items: list[OrphanEntry]
    unreachable: list[str]


def read_page(backend: Backend, part: Part, query: AuditQuery) -> Page[AuditEntry]:
    """The newest first. InvalidParameter for a cursor of another list."""
    found = backend.audit_log.list_calls(
        replace(query, limit=part.limit + 1, before=_parse_sequence(part.after))
    )
    return part.page(found[::-1], lambda call: str(call.asked.sequence), _render)


def _parse_sequence(key: str) -> int | None:
    if not key:
        return None
    if not key.isdecimal() or len(key) > 18:
        raise InvalidParameter("cursor", "is of another list")
    return int(key)


def _render(call: AuditedCall) -> AuditEntry:
    asked, answer = call.asked, call.answer
    if answer is None and asked.result != ASKED:
        answer = asked
    return AuditEntry(
        sequence=asked.sequence,
        time=asked.time,
        who=asked.who,
        address=asked.address,
        what=asked.what,
        on=dict(asked.on),
        parameters=dict(asked.parameters),
        outputs=dict(answer.parameters) if answer and answer is not asked else {},
        result=answer.result if answer else "no result",
        reason=answer.reason if answer else "",
        ended=answer.time if answer else None,
    )


@router.get("")
def list_audit(
    visitor: Reader,
    part: Paging,
    since: Moment | None = None,
    who: Annotated[str, Query(max_length=256)] = "",
    class_name: Annotated[
        str, Query(max_length=256, examples=["Win32_RDMSVirtualDesktopCollection"])
    ] = "",
    about: Annotated[
        str, Query(max_length=256, description="What is named in it: a desktop, an alias, a GUID.")
    ] = "",
) -> Page[AuditEntry]:
    """Calls that changed something, and those that were refused, the newest first."""
    with visitor.watch(_CLASS, ENUMERATE):
        query = AuditQuery(since, who or None, class_name or None, about=about or None)
        return read_page(visitor.backend, part, query)


@router.get("/chain")
def verify_audit(visitor: Reader) -> ChainState:
    """Walk the whole log: has anything been changed or taken out?"""
    with visitor.watch(_CLASS, ENUMERATE):
        found = visitor.backend.audit_log.verify()
        return ChainState(count=found.count, hash=found.hash, problems=list(found.problems))


@router.get("/orphans")
@on_hosts
def list_orphans(visitor: Reader) -> Orphans:
    """What is left over on hosts, or claimed by records and not there."""
    with visitor.watch(_DESKTOP, ENUMERATE):
        found = visitor.backend.audit.find_orphans()
        return Orphans(
            items=[OrphanEntry(**vars(orphan)) for orphan in found.orphans],
            unreachable=found.unreachable,
        )
