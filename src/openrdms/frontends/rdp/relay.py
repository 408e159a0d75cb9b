"""A TCP relay for RDP: reads a client's routing token, finds its desktop, copies octets.

TLS and authentication are between client and guest; nothing of them is seen here. A connection is
cut the moment its desktop is no longer its user's.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol, TypeVar

import structlog

from openrdms.frontends.proxy_protocol import DIRECT, Balancers, Listener
from openrdms.frontends.rdp import x224
from openrdms.model.errors import RdmsError
from openrdms.security.lockout import place_of
from openrdms.services.rdp_access import Way

MAX_CONNECTIONS = 2_000
MAX_OF_ADDRESS = 500
"""A whole office behind one address has enough; nobody alone takes them all."""
MAX_UNKNOWN = 32
"""Those of one address whose token was not found good yet."""
MAX_WAITING = 256
"""Connections that are looked up, or wait for their desktop; each has a thread."""

FIRST_SECONDS = 5.0
"""What a client gets for its first packet."""
GUEST_SECONDS = 30.0
"""What a guest that has just booted gets until its RDP answers."""
_PAUSES = (0.1, 0.2, 0.4, 0.8)
"""Seconds between two tries at that, the last for all further ones: only trying shows it."""

_CHUNK = 64 << 10
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
_STOP_SECONDS = 1.0

_log = structlog.get_logger(__name__)

_Answer = TypeVar("_Answer")
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Access(Protocol):
    """services.rdp_access.RdpAccess, as far as the relay knows it."""

    def open(self, token: str, client: str, cut: Callable[[], None]) -> Way: ...
    def refuse(self, client: str, reason: str) -> None: ...


class _Line:
    """The sockets of one connection, which any thread may cut at any moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self.is_cut = False

    def add(self, writer: asyncio.StreamWriter) -> None:
        """Cut at once when it was cut before."""
        one: socket.socket = writer.get_extra_info("socket")
        with self._lock:
            self._sockets.append(one)
            if self.is_cut:
                _shut(one)

    def cut(self) -> None:
        """Nothing passes from here on."""
        with self._lock:
            self.is_cut = True
            for one in self._sockets:
                _shut(one)


class RdpRelay:
    """Bound when made, so its address is known before it accepts."""

    def __init__(
        self, access: Access, listen: str, port: int, balancers: Balancers = DIRECT
    ) -> None:
        """OSError when the address cannot be bound."""
        self._access = access
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        bound_socket = socket.create_server((listen, port), family=family, backlog=512)
        self._socket = Listener(bound_socket, balancers)
        host, bound = self._socket.getsockname()[:2]
        self.port: int = bound
        self.address = f"{f'[{host}]' if ':' in host else host}:{bound}"
        self._threads = ThreadPoolExecutor(MAX_WAITING, thread_name_prefix="rdp")
        self._open: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._waiting = 0
        self._running: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread = threading.Thread(
            target=asyncio.run, args=[self._run()], name="rdp", daemon=True
        )

    def start(self) -> None:
        """Accept connections; those that came since it was bound wait in the backlog."""
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, and cut what is open."""
        if self._running:
            loop, asked = self._running
            loop.call_soon_threadsafe(asked.set)
            self._thread.join(_STOP_SECONDS)
        self._socket.close()

    async def _run(self) -> None:
        asked = asyncio.Event()
        await asyncio.start_server(self._serve, sock=self._socket, limit=_CHUNK)
        self._running = asyncio.get_running_loop(), asked
        await asked.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = str(writer.get_extra_info("peername", ("",))[0])
        place = place_of(client)
        if not self._has_room(place):
            writer.transport.abort()
            return
        line = _Line()
        line.add(writer)
        try:
            with _counted(self._open, place):
                await self._relay(client, (reader, writer), line)
        except (OSError, EOFError, TimeoutError) as error:
            _log.info("connection ended", client=client, error=repr(error))
        except RdmsError as error:
            _log.warning("connection refused", client=client, error=str(error))
        finally:
            writer.transport.abort()

    def _has_room(self, place: str) -> bool:
        taken = self._open.total() >= MAX_CONNECTIONS or self._open[place] >= MAX_OF_ADDRESS
        return not taken and self._unknown[place] < MAX_UNKNOWN

    async def _relay(self, client: str, ends: _Streams, line: _Line) -> None:
        with _counted(self._unknown, place_of(client)):
            request = await self._read_request(client, ends[0])
            if self._waiting >= MAX_WAITING:
                raise TimeoutError("too many wait for their desktops")
            way = await self._ask(partial(self._access.open, request.token, client, line.cut))
        try:
            guest = await _reach(way, request.without_token, ends[1], line)
            _log.info("connected", client=client, desktop=way.desktop)
            try:
                await _copy_both(ends, guest)
            finally:
                guest[1].transport.abort()
        finally:
            way.end()

    async def _read_request(
        self, client: str, reader: asyncio.StreamReader
    ) -> x224.ConnectionRequest:
        try:
            async with asyncio.timeout(FIRST_SECONDS):
                header = await reader.readexactly(x224.HEADER)
                rest = await reader.readexactly(x224.read_length(header) - x224.HEADER)
            return x224.parse(header + rest)
        except x224.Malformed as error:
            await self._ask(partial(self._access.refuse, client, str(error)))
            raise EOFError(str(error)) from error

    async def _ask(self, question: Callable[[], _Answer]) -> _Answer:
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, question)
        finally:
            self._waiting -= 1


@contextmanager
def _counted(counter: Counter[str], key: str) -> Iterator[None]:
    """While the block runs."""
    counter[key] += 1
    try:
        yield
    finally:
        counter[key] -= 1
        if not counter[key]:
            del counter[key]


async def _reach(way: Way, request: bytes, client: asyncio.StreamWriter, line: _Line) -> _Streams:
    """The guest, whose first answer the client has. TimeoutError when it does not answer."""
    async with asyncio.timeout(GUEST_SECONDS):
        pauses = iter(_PAUSES)
        while not line.is_cut:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(*way.address, limit=_CHUNK)
                line.add(writer)
                writer.write(request)
                if answer := await reader.read(_CHUNK):
                    client.write(answer)
                    return reader, writer
                writer.transport.abort()  # its RDP does not listen yet
            await asyncio.sleep(next(pauses, _PAUSES[-1]))
    raise EOFError("the desktop is no longer this user's")


async def _copy_both(one: _Streams, other: _Streams) -> None:
    """Until either has ended."""
    for _, writer in (one, other):
        _tune(writer.get_extra_info("socket"))
    ways = [
        asyncio.create_task(_copy(one[0], other[1])),
        asyncio.create_task(_copy(other[0], one[1])),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while received := await reader.read(_CHUNK):
            writer.write(received)
            await writer.drain()


def _tune(one: socket.socket) -> None:
    """Keys are sent on at once; who has gone without a word is noticed within two minutes."""
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        one.setsockopt(socket.IPPROTO_TCP, option, value)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):  # it has just ended
        one.shutdown(socket.SHUT_RDWR)
