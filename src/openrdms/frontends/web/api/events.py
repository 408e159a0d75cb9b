"""Live changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from starlette.responses import StreamingResponse

from openrdms.cim.guard import ENUMERATE
from openrdms.frontends.web.back_pressure import admit_stream
from openrdms.frontends.web.events import stream_events
from openrdms.frontends.web.visitors import Reader, Visitor
from openrdms.model.change import Kind
from openrdms.model.errors import InvalidParameter
from openrdms.security.policy import Right, decide

router = APIRouter(prefix="/events", tags=["events"])

_CLASSES: Mapping[Kind, str] = {
    Kind.JOB: "Win32_RDMSVirtualDesktopCollection",
    Kind.DESKTOP: "Win32_RDMSVirtualDesktop",
    Kind.SESSION: "Win32_VirtualDesktopSession",
    Kind.HOST: "OpenRDMS_Host",
    Kind.COLLECTION: "Win32_RDMSVirtualDesktopCollection",
    Kind.IMAGE: "OpenRDMS_Image",
    Kind.TASK: "OpenRDMS_Image",
}
"""Who may list those is told that they have changed."""

_STREAM = {
    200: {
        "description": "Events without end. `id` is a position, `event` the kind of what has"
        " changed, `data` names it. `reset`: too much has happened since the position; read"
        " everything anew.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": 'id: 5f0c1a2b-17\nevent: desktop\ndata: {"key": "pool-7"}\n\n',
            }
        },
    }
}


@router.get(
    "",
    response_class=StreamingResponse,
    responses=_STREAM,  # type: ignore[arg-type]
    dependencies=[Depends(admit_stream)],
)
async def stream(
    visitor: Reader,
    kinds: Annotated[
        str,
        Query(
            description="Kinds, separated by commas; none: all that the role may read.",
            max_length=200,
            examples=["job,desktop"],
        ),
    ] = "",
    after: Annotated[
        str, Query(max_length=100, description="A position to begin behind; none: now.")
    ] = "",
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> StreamingResponse:
    """Changes as server-sent events; Last-Event-ID, which browsers send by themselves, resumes."""
    wanted = _parse_kinds(visitor, kinds)
    changes = visitor.backend.changes
    return stream_events(
        visitor, changes, last_event_id or after, lambda change: change.kind in wanted
    )


def _parse_kinds(visitor: Visitor, text: str) -> frozenset[Kind]:
    if not text:
        return frozenset(kind for kind in _CLASSES if _may_read(visitor, kind))
    kinds = frozenset(_parse_kind(word) for word in text.split(","))
    for kind in kinds:
        with visitor.watch(_CLASSES[kind], ENUMERATE):
            pass
    return kinds


def _parse_kind(word: str) -> Kind:
    if word not in _CLASSES:
        raise InvalidParameter("kinds", f"{word!r} is none of {', '.join(_CLASSES)}")
    return Kind(word)


def _may_read(visitor: Visitor, kind: Kind) -> bool:
    return decide(visitor.account.role, _CLASSES[kind], ENUMERATE) is Right.READ
