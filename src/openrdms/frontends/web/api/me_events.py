"""Live changes of what concerns a user."""

from __future__ import annotations

from collections.abc import AsyncIterable
from contextlib import AbstractContextManager
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from openrdms.frontends.web.api.me_desktops import user_of
from openrdms.frontends.web.back_pressure import admit_stream
from openrdms.frontends.web.events import stream_events
from openrdms.frontends.web.visitors import Connecting, Visitor
from openrdms.model.change import Kind

_Parts = AsyncIterable[str | bytes | memoryview]

router = APIRouter(prefix="/me", tags=["me"])

_STREAM = {
    200: {
        "description": "Events without end: `own` when a desktop of the user, or his wait for one,"
        " has changed; `line` with the alias of a collection when more or fewer wait for it or its"
        " last spare has come or gone; `message`; `reset`. While it is open, places in line are"
        " kept.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=_STREAM,  # type: ignore[arg-type]
    dependencies=[Depends(admit_stream)],
)
async def stream(
    visitor: Connecting,
    after: Annotated[
        str, Query(max_length=100, description="A position to begin behind; none: now.")
    ] = "",
    last_event_id: Annotated[str, Header(max_length=100)] = "",
) -> StreamingResponse:
    """What concerns the user, as server-sent events; Last-Event-ID resumes."""
    user = await run_in_threadpool(user_of, visitor)
    mine = await run_in_threadpool(_name_own, visitor)
    changes = visitor.backend.changes
    reply = stream_events(
        visitor,
        changes,
        last_event_id or after,
        lambda change: (change.kind, change.key.casefold()) in mine,
    )
    present = visitor.backend.user_news.present(user)
    reply.body_iterator = _while_open(reply.body_iterator, present)
    return reply


def _name_own(visitor: Visitor) -> frozenset[tuple[Kind, str]]:
    """Kinds and keys of all that concerns him."""
    user = user_of(visitor)
    resources = visitor.backend.own_desktops.list_resources(user)
    lines = {(Kind.LINE, collection.alias.casefold()) for _, collection in resources}
    name = visitor.account.name.casefold()
    return frozenset({*lines, (Kind.OWN, user.holder.casefold()), (Kind.MESSAGE, name)})


async def _while_open(parts: _Parts, present: AbstractContextManager[None]) -> _Parts:
    with present:
        async for part in parts:
            yield part
