"""Server-sent events of what has changed.

What comes together is sent together, at most ten times a second for one connection, each thing
once. An event without data follows when nothing has happened for a while: it moves the position
of clients on, and shows that both ends are there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from openrdms import metrics
from openrdms.frontends.web.visitors import Visitor
from openrdms.model.change import Change
from openrdms.model.errors import RecordsUnavailable
from openrdms.services.changes import Changes

_PAUSE = 0.1
_HEARTBEAT = 15.0
_RETRY = b"retry: 1000\n\n"
RESET = "reset"
"""What happened since the client's position is not known any more: it must look at everything."""


def stream_events(
    visitor: Visitor, changes: Changes, after: str | None, wanted: Callable[[Change], bool]
) -> StreamingResponse:
    """All that is ``wanted`` and came after a position, or comes from now on; until the visitor is
    signed out.
    """
    return StreamingResponse(
        _stream(visitor, changes, after or changes.position, wanted),
        media_type="text/event-stream",
        headers={"x-accel-buffering": "no"},
    )


async def _stream(
    visitor: Visitor, changes: Changes, position: str, wanted: Callable[[Change], bool]
) -> AsyncIterator[bytes]:
    yield _RETRY
    with metrics.EVENT_STREAMS.track_inprogress():
        async for part in _follow(visitor, changes, position, wanted):
            yield part


async def _follow(
    visitor: Visitor, changes: Changes, position: str, wanted: Callable[[Change], bool]
) -> AsyncIterator[bytes]:
    while await run_in_threadpool(_is_still_in, visitor):
        found = changes.since(position)
        if found is None:
            position = changes.position
            yield _render(RESET, position, "")
        elif found:
            position = changes.name(found[-1])
            text = [_render(one.kind, changes.name(one), one.key) for one in found if wanted(one)]
            if text:
                yield b"".join(text)
        else:
            yield f"id: {position}\n\n".encode()
        await asyncio.sleep(_PAUSE)
        await _wait_for_more(changes, position)


def _is_still_in(visitor: Visitor) -> bool:
    """While records are away nothing changes of which the stream could tell."""
    try:
        return visitor.is_still_in()
    except RecordsUnavailable:
        return True


async def _wait_for_more(changes: Changes, position: str) -> None:
    """Return when something has come, or when it is time to show that nothing has."""
    come = asyncio.Event()
    wake = partial(_call_soon, asyncio.get_running_loop(), come.set)
    changes.wake_once(position, wake)
    try:
        async with asyncio.timeout(_HEARTBEAT):
            await come.wait()
    except TimeoutError:
        return
    finally:
        changes.let_sleep(wake)


def _call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:  # the server has stopped, and nobody listens any more
        return


def _render(event: str, position: str, key: str) -> bytes:
    return f"id: {position}\nevent: {event}\ndata: {json.dumps({'key': key})}\n\n".encode()
