"""Desktops in the browser: the page, and the WebSocket that carries RFB between it and the VM.

A ticket opens the socket, and comes with it as a subprotocol, since addresses are logged. It is
good once, and only for the session of the account that it was given to.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, NoReturn

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request, WebSocket
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from openrdms.frontends.web import problems
from openrdms.frontends.web.pages import page
from openrdms.frontends.web.rfb_messages import ViewerMessages, WrongMessage
from openrdms.frontends.web.visitors import (
    COOKIE,
    AnyVisitor,
    Forged,
    Unauthenticated,
    Visitor,
    address_of,
    backend_of,
    find_visitor,
)
from openrdms.model.display_ticket import DisplayTicket, Mode
from openrdms.model.errors import InvalidOperation, NotFound, RdmsError, RecordsUnavailable
from openrdms.services.display_tickets import TicketRefused

PATH = "/api/v1/display"
PROTOCOL = "binary"
TICKET = "ticket."
"""What the subprotocol begins with that is the ticket."""

MAX_VIEWERS = 8
"""Of one desktop, at once."""

_SCHEME = "display"
"""How the audit log calls it."""

_WRONG_MESSAGE, _TOO_LARGE, _LATER = 1008, 1009, 1013
_ENDED, _SIGNED_OUT, _OFF = 4000, 4001, 4002
"""Why a socket was closed (display.js): the stay is over, the session is, the VM is off."""

_CHUNK = 64 << 10
"""Octets on their way from a display to its viewer: beyond twice as many the display waits."""

_TOUCH_SECONDS = 60
_CLOSE_SECONDS = 2

_OPENING = anyio.CapacityLimiter(16)
"""Displays of hosts that do not answer hold up nothing else."""

router = APIRouter(include_in_schema=False)


@router.get("/display/{desktop}")
def show(request: Request, visitor: AnyVisitor, desktop: str, mode: Mode = Mode.VIEW) -> Response:
    """For who has the desktop, and for staff; NotFound for others, whether it is there or not."""
    is_own = visitor.backend.display_tickets.is_holder(visitor.account.name, desktop)
    if not (is_own or visitor.is_staff):
        raise NotFound(f"you have no desktop {desktop!r}")
    wanted = Mode.CONTROL if is_own else mode
    return page(request, "display.html", visitor, desktop=desktop, mode=wanted, is_own=is_own)


@router.websocket(PATH)
async def carry(websocket: WebSocket) -> None:
    """From the ticket to the end of the display, or of the right to it."""
    visitor = await find_visitor(websocket)
    line = _Line(asyncio.get_running_loop())
    try:
        opened = await _open(websocket, visitor, line)
    except RdmsError as error:
        await _refuse(websocket, visitor, error)
        return
    try:
        await websocket.accept(PROTOCOL)
        await _Relay(websocket, opened, line).run()
    finally:
        opened.forget()
        line.close()


@dataclass(frozen=True)
class _Opened:
    visitor: Visitor
    ticket: DisplayTicket
    display: socket.socket
    forget: Callable[[], None]


class _Line:
    """What can be cut from any thread, before and after there is a display at its end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._display: socket.socket | None = None
        self.is_cut = False
        self.cut = asyncio.Event()

    def attach(self, display: socket.socket) -> None:
        with self._lock:
            self._display = display
            if self.is_cut:
                _shut(display)

    def close(self) -> None:
        with self._lock:
            self.is_cut = True
            if self._display:
                _shut(self._display)
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.cut.set)


async def _open(websocket: WebSocket, visitor: Visitor | None, line: _Line) -> _Opened:
    headers = websocket.headers
    if headers.get("origin") != f"https://{headers.get('host', '')}":
        raise Forged("Origin: none, or another site's")
    if visitor is None or visitor.session is None:
        raise Unauthenticated("sign in with this browser")
    offered = websocket.scope["subprotocols"]
    tickets = [each.removeprefix(TICKET) for each in offered if each.startswith(TICKET)]
    if len(tickets) != 1 or PROTOCOL not in offered:
        raise TicketRefused("Sec-WebSocket-Protocol: no ticket")
    return await anyio.to_thread.run_sync(
        _open_display, visitor, tickets[0], line, limiter=_OPENING
    )


def _open_display(visitor: Visitor, secret: str, line: _Line) -> _Opened:
    """Registered first, so that no end of the stay is missed from here on."""
    backend = visitor.backend
    ticket = backend.display_tickets.redeem(secret, visitor.account.name)
    if backend.connections.count(ticket.desktop) >= MAX_VIEWERS:
        raise InvalidOperation(f"{MAX_VIEWERS} viewers are looking at {ticket.desktop} already")
    forget = backend.connections.hold(
        desktop=ticket.desktop,
        holder=ticket.holder,
        stay=ticket.stay,
        account=visitor.account.name,
        close=line.close,
        may_go_on=lambda: visitor.is_still_in() and backend.display_tickets.may_go_on(ticket),
        is_presence=ticket.is_holders,
        came_first=not ticket.is_holders and not ticket.seen,
    )
    if line.is_cut:
        raise TicketRefused("the desktop has changed hands since")
    try:
        display = backend.display_tickets.open_display(ticket)
    except BaseException:
        forget()
        raise
    line.attach(display)
    return _Opened(visitor, ticket, display, forget)


async def _refuse(websocket: WebSocket, visitor: Visitor | None, error: RdmsError) -> None:
    """Before it is a WebSocket: with a status, and on record."""
    name = visitor.account.name if visitor else ""
    await _record(websocket, name, str(error))
    await websocket.send_denial_response(problems.render(problems.from_error(error)))


async def _record(websocket: WebSocket, name: str, reason: str) -> None:
    record = backend_of(websocket).audit_log.record_refusal
    await run_in_threadpool(record, name, address_of(websocket), _SCHEME, reason)


class _Relay:
    """Carries until one side goes or the line is cut. Whoever is slow holds up the other side."""

    def __init__(self, websocket: WebSocket, opened: _Opened, line: _Line) -> None:
        self._websocket = websocket
        self._opened = opened
        self._line = line
        self._messages = ViewerMessages(opened.ticket.mode, is_holder=opened.ticket.is_holders)
        self._touched = time.monotonic()

    async def run(self) -> None:
        """Return when the socket is closed."""
        reader, writer = await asyncio.open_connection(sock=self._opened.display, limit=_CHUNK)
        directions = {
            asyncio.create_task(self._carry_to_viewer(reader)),
            asyncio.create_task(self._carry_to_display(writer)),
            asyncio.create_task(self._wait_for_cut()),
        }
        done, others = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        writer.close()
        await self._close(await self._explain(done.pop()))

    async def _carry_to_viewer(self, reader: asyncio.StreamReader) -> None:
        while shown := await reader.read(_CHUNK):
            await self._websocket.send_bytes(shown)

    async def _carry_to_display(self, writer: asyncio.StreamWriter) -> Literal["gone"]:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return _accept_end(message.get("code"))
            passed = self._messages.feed(message.get("bytes") or _refuse_text())
            if passed:
                writer.write(passed)
                await writer.drain()
            await self._touch_session()

    async def _wait_for_cut(self) -> None:
        await self._line.cut.wait()

    async def _touch_session(self) -> None:
        """Who types uses his session, although he asks for no page."""
        now = time.monotonic()
        if self._messages.has_typed and now - self._touched > _TOUCH_SECONDS:
            self._touched, self._messages.has_typed = now, False
            cookie = self._websocket.cookies[COOKIE]
            with suppress(RecordsUnavailable):  # what is open may outlast them: LiveConnections
                await run_in_threadpool(self._opened.visitor.backend.web_sessions.find, cookie)

    async def _explain(self, ended: asyncio.Task[Literal["gone"] | None]) -> int | None:
        """The code of the close, None when the viewer has gone."""
        visitor, error = self._opened.visitor, ended.exception()
        if self._line.is_cut:
            try:
                still_in = await run_in_threadpool(visitor.is_still_in)
            except RecordsUnavailable:
                return _LATER
            return _ENDED if still_in else _SIGNED_OUT
        if isinstance(error, WrongMessage):
            await _record(self._websocket, visitor.account.name, str(error))
            return _WRONG_MESSAGE
        return None if error is None and ended.result() == "gone" else _OFF

    async def _close(self, code: int | None) -> None:
        with suppress(RuntimeError, OSError, TimeoutError):  # it may have gone just now
            if code is not None:
                await asyncio.wait_for(self._websocket.close(code), _CLOSE_SECONDS)


def _accept_end(code: int | None) -> Literal["gone"]:
    if code == _TOO_LARGE:  # the server under us has closed it
        raise WrongMessage("a frame that is too large")
    return "gone"


def _refuse_text() -> NoReturn:
    raise WrongMessage("text, where octets are expected")


def _shut(display: socket.socket) -> None:
    with suppress(OSError):  # it has ended
        display.shutdown(socket.SHUT_RDWR)
