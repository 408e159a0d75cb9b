"""One client's connection: its socket, its half-read request, who it is, what it is still sent."""

from __future__ import annotations

import email.utils
import http
import select
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial

import structlog
from structlog.contextvars import bind_contextvars, reset_contextvars

from openrdms import metrics
from openrdms.frontends.exchange import HttpReply, HttpRequest, name_request
from openrdms.frontends.http.authentication import Answer, Session
from openrdms.frontends.http.parser import Received, Refused, RequestParser, Stage
from openrdms.security.lockout import place_of

HEAD_SECONDS = 20.0
BODY_SECONDS = 30.0
REPLY_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 120.0
"""How long a client may take over the head of a request, its body, taking a part of the reply,
and for the time between requests."""
DRAIN_SECONDS = 2.0
"""How long a client may go on sending what is refused."""

_SLOW_SECONDS = 1.0
"""From which a request is worth a line."""

_CHUNK = 65_536
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in http.HTTPStatus
}

Socket = socket.socket | ssl.SSLSocket

_histogram = cache(metrics.PROTOCOL_SECONDS.labels)
"""To find one again by its labels takes longer than to count."""

_log = structlog.get_logger(__name__)


class Connection:
    """Touched by one thread at a time. Never blocks on its socket, only in protocol servers.

    ``interest`` is what to wait for (epoll), ``deadline`` (monotonic seconds) when to call
    ``expire``; ``closed`` tells that the socket is of no more use.
    """

    def __init__(
        self, sock: Socket, address: str, session: Session, paths: tuple[str, ...]
    ) -> None:
        self.socket = sock
        self.place = place_of(address)
        self.fileno = sock.fileno()
        self.interest = select.EPOLLIN
        self.deadline = time.monotonic() + HEAD_SECONDS
        self.closed = False
        self._session = session
        self._parser = RequestParser(paths)
        self._stage = Stage.HEAD
        self._unsent = memoryview(b"")
        self._held: Callable[[], None] | None = None
        self._close_when_sent = False
        self._draining = False
        self._shaking_hands = isinstance(sock, ssl.SSLSocket)

    def advance(self) -> None:
        """Do what can be done now: read, answer, write."""
        self._try(self._advance)

    def expire(self) -> None:
        """The deadline has passed."""
        if self._held:
            self._try(self._release)
            return
        if self._stage is Stage.BODY and not (self._unsent or self._draining):
            self._try(partial(self._answer, Refused(408)))
        else:
            self.closed = True

    def abort(self) -> None:
        """End it under the thread that has it, which will find out."""
        with suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except ssl.SSLWantReadError:
            self.interest = select.EPOLLIN
        except ssl.SSLWantWriteError:
            self.interest = select.EPOLLOUT
        except BlockingIOError:
            self.interest = select.EPOLLOUT if self._unsent else select.EPOLLIN
        except OSError:  # the client has gone, or speaks no TLS
            self.closed = True
        self._note_stage()

    def _advance(self) -> None:
        if self._held:  # waited for nothing: the client has gone
            self.closed = True
            return
        if self._draining:
            self.closed = not socket.socket.recv(self.socket, _CHUNK)
            return
        if self._shaking_hands:
            self._shake_hands()
        if self._unsent:
            self._flush()
        self._answer_all()
        if self._takes_requests():
            self._read()
            self._answer_all()

    def _takes_requests(self) -> bool:
        return not (self._held or self._draining)

    def _release(self) -> None:
        send, self._held = self._held, None
        if send:
            send()
        self._answer_all()

    def _shake_hands(self) -> None:
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket.do_handshake()
        self._shaking_hands = False
        self.interest = select.EPOLLIN

    def _answer_all(self) -> None:
        received = self._parser.received
        while received and self._takes_requests():
            self._answer(received.popleft())

    def _read(self) -> None:
        """Take what has come; the end of the stream closes."""
        data = self.socket.recv(_CHUNK)
        if not data:
            self.closed = True
            return
        self._parser.feed(data)
        if self._parser.wants_continue and not self._parser.received:
            self._parser.wants_continue = False
            self._send(_CONTINUE)

    def _answer(self, received: Received | Refused) -> None:
        if isinstance(received, Refused):
            refusal = Answer(HttpReply(received.status, "", b"", received.headers), close=True)
            self._reply(_render(refusal), close=True)
            return
        name = name_request(received.request.headers.get("x-request-id"))
        answer = self._ask(received.request, name)
        if not received.keep_alive:
            answer = answer._replace(close=True)
        rendered = _render(answer, received.version, name)
        if answer.delay:
            self._held = partial(self._reply, rendered, close=answer.close)
            self.interest = 0
            self.deadline = time.monotonic() + answer.delay
        else:
            self._reply(rendered, close=answer.close)

    def _ask(self, request: HttpRequest, name: str) -> Answer:
        """The session's answer. What services log of the work has the request's name, and so has
        the reply; a request that is refused or slow is logged itself.
        """
        begun, outside = time.perf_counter(), bind_contextvars(request=name)
        try:
            answer = self._session.answer(request)
            seconds, status = time.perf_counter() - begun, answer.reply.status
            _histogram(request.path, status).observe(seconds)
            if status >= 400 or seconds > _SLOW_SECONDS:
                milliseconds = round(seconds * 1000, 1)
                _log.info("protocol", path=request.path, status=status, ms=milliseconds)
            return answer
        finally:
            reset_contextvars(**outside)

    def _reply(self, rendered: bytes, *, close: bool) -> None:
        self._close_when_sent = close
        self._send(rendered)

    def _send(self, data: bytes) -> None:
        self._unsent = memoryview(data)  # whose rest costs no copy
        self._flush()

    def _flush(self) -> None:
        """Hand over what the socket takes, and wait for it to take the rest."""
        self.deadline = time.monotonic() + REPLY_SECONDS
        self.interest = select.EPOLLOUT
        while self._unsent:
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        self.interest = select.EPOLLIN
        self._stage = Stage.IDLE
        self.deadline += KEEP_ALIVE_SECONDS - REPLY_SECONDS
        if self._close_when_sent:
            self._finish()

    def _finish(self) -> None:
        """Send no more, and throw away what still comes: closing now could destroy the reply."""
        self._draining = True
        self.deadline = time.monotonic() + DRAIN_SECONDS
        if isinstance(self.socket, ssl.SSLSocket):
            with suppress(OSError):
                self.socket.unwrap()
        with suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def _note_stage(self) -> None:
        """Count anew when a request goes from one stage to the next."""
        stage = self._parser.stage
        if stage in (Stage.IDLE, self._stage) or self._held or self._draining:
            return
        self._stage = stage
        seconds = HEAD_SECONDS if stage is Stage.HEAD else BODY_SECONDS
        self.deadline = time.monotonic() + seconds


_dates: dict[int, str] = {}


def _date() -> str:
    """The Date header, made once a second."""
    now = int(time.time())
    found = _dates.get(now)
    if found is None:
        found = f"date: {email.utils.formatdate(now, usegmt=True)}\r\n"
        _dates.clear()
        _dates[now] = found
    return found


def _render(answer: Answer, version: str = "1.1", request_id: str = "") -> bytes:
    """Head and body in one piece, so that no part of a reply waits for an acknowledgement."""
    reply = answer.reply
    lines = [_STATUS_LINES[reply.status], _date(), f"content-length: {len(reply.body)}\r\n"]
    if reply.content_type:
        lines.append(f"content-type: {reply.content_type}\r\n")
    lines += [f"{name}: {value}\r\n" for name, value in reply.headers]
    if request_id:
        lines.append(f"x-request-id: {request_id}\r\n")
    if answer.close:
        lines.append("connection: close\r\n")
    elif version == "1.0":
        lines.append("connection: keep-alive\r\n")
    lines.append("\r\n")
    return "".join(lines).encode("latin-1", "replace") + reply.body
