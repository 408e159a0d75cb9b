"""Screens and keyboards of simulated VMs: a small server of RFB (RFC 6143) for each viewer.

It paints the lines that the screenshot shows and types what it is sent. Raw encoding, true
colours.
"""

from __future__ import annotations

import functools
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from openrdms.adapters.simulator import screen
from openrdms.model.errors import RdmsError

VERSION = b"RFB 003.008\n"
_REPAINT_SECONDS = 0.1
"""How often a screen is looked at while somebody watches it."""

_RECEIVE_SIZE = 64 << 10
_LENGTHS = {0: 20, 2: 4, 3: 10, 4: 8, 5: 6, 6: 8}
"""Octets of each message of a client (RFC 6143 7.5), without what follows in 2 and 6."""

_CONTROL, _ALT, _DELETE = {0xFFE3, 0xFFE4}, {0xFFE9, 0xFFEA}, 0xFFFF
_KEYS = {0xFF0D: "\n", 0xFF8D: "\n", 0xFF08: "\b"}
"""X11 keysyms of keys that are no characters."""


@dataclass(frozen=True)
class _PixelFormat:
    """RFC 6143 7.4, of true colours."""

    octets: int = 4
    big: bool = False
    maxima: tuple[int, int, int] = (255, 255, 255)
    shifts: tuple[int, int, int] = (16, 8, 0)

    def render(self, colour: bytes) -> bytes:
        parts = zip(colour, self.maxima, self.shifts, strict=True)
        value = sum((part * most // 255) << shift for part, most, shift in parts)
        return value.to_bytes(self.octets, "big" if self.big else "little")

    def pack(self) -> bytes:
        numbers = (self.octets * 8, 24, self.big, True, *self.maxima, *self.shifts)
        return struct.pack(">BBBBHHHBBB3x", *numbers)


class Displays:
    """Those of one host. Safe from any thread."""

    def __init__(self) -> None:
        self._open: dict[socket.socket, threading.Thread] = {}

    def open(
        self, name: str, read: Callable[[], list[str]], type_in: Callable[[str], None]
    ) -> socket.socket:
        """A viewer's end. ``read`` gives the lines to show; its RdmsError ends the display."""
        ours, theirs = socket.socketpair()

        def run() -> None:
            with ours, suppress(OSError, RdmsError, _Ended):
                _Viewer(ours, name, read, type_in).serve()
            del self._open[ours]

        self._open[ours] = threading.Thread(target=run, name=f"display-{name}", daemon=True)
        self._open[ours].start()
        return theirs

    def close(self) -> None:
        """End them all, and wait until nothing is read for them any more."""
        for viewer, thread in tuple(self._open.items()):
            with suppress(OSError):  # it has just ended
                viewer.shutdown(socket.SHUT_RDWR)
            thread.join()


class _Ended(Exception):
    """The viewer has gone, or sent what is no RFB."""


class _Viewer:
    def __init__(
        self,
        connection: socket.socket,
        name: str,
        read: Callable[[], list[str]],
        type_in: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._name = name.encode()
        self._read = read
        self._type_in = type_in
        self._received = b""
        self._format = _PixelFormat()
        self._shown: list[str | None] = [None] * screen.ROWS
        self._wanted = False
        self._held: set[int] = set()

    def serve(self) -> None:
        """Until the viewer goes or the VM stops."""
        self._connection.sendall(VERSION)
        self._take(len(VERSION))
        self._connection.sendall(b"\x01\x01")  # one security type: none
        self._take(1)
        self._connection.sendall(bytes(4))
        self._take(1)
        size = struct.pack(">HH", screen.WIDTH, screen.HEIGHT)
        name = struct.pack(">I", len(self._name)) + self._name
        self._connection.sendall(size + self._format.pack() + name)
        self._connection.settimeout(_REPAINT_SECONDS)
        while True:
            self._paint(self._read())
            with suppress(TimeoutError):
                self._receive()
            while message := self._cut_message():
                self._handle(message)

    def _take(self, octets: int) -> bytes:
        while len(self._received) < octets:
            self._receive()
        taken, self._received = self._received[:octets], self._received[octets:]
        return taken

    def _receive(self) -> None:
        received = self._connection.recv(_RECEIVE_SIZE)
        if not received:
            raise _Ended
        self._received += received

    def _cut_message(self) -> bytes:
        """The next message, b"" while it is not whole."""
        if not self._received:
            return b""
        length = _LENGTHS.get(self._received[0])
        if length is None:
            raise _Ended
        if len(self._received) >= length:
            length += _find_rest(self._received)
        if len(self._received) < length:
            return b""
        message, self._received = self._received[:length], self._received[length:]
        return message

    def _handle(self, message: bytes) -> None:
        match message[0]:
            case 0:
                self._format = _parse_format(message[4:])
                self._shown = [None] * screen.ROWS
            case 3:
                self._wanted = True
                if not message[1]:  # not only what has changed
                    self._shown = [None] * screen.ROWS
            case 4:
                self._press(int.from_bytes(message[4:8], "big"), down=bool(message[1]))

    def _press(self, key: int, *, down: bool) -> None:
        if not down:
            self._held.discard(key)
            return
        self._held.add(key)
        text = _KEYS.get(key, _character(key))
        if self._held & _CONTROL:
            text = "[Ctrl-Alt-Del]" if key == _DELETE and self._held & _ALT else ""
        if text:
            self._type_in(text)

    def _paint(self, lines: Sequence[str]) -> None:
        wrapped = screen.wrap(lines)
        changed = [row for row, line in enumerate(wrapped) if line != self._shown[row]]
        if not self._wanted or not changed:
            return
        self._wanted = False
        update = [struct.pack(">BxH", 0, len(changed))]
        for row in changed:
            top = row * screen.CELL_HEIGHT
            update.append(struct.pack(">HHHHi", 0, top, screen.WIDTH, screen.CELL_HEIGHT, 0))
            update.append(_encode(wrapped[row], self._format))
        self._shown = [*wrapped]
        self._connection.settimeout(None)
        self._connection.sendall(b"".join(update))
        self._connection.settimeout(_REPAINT_SECONDS)


def _find_rest(message: bytes) -> int:
    """How much follows its fixed part."""
    if message[0] == 2:
        return 4 * int.from_bytes(message[2:4], "big")
    return int.from_bytes(message[4:8], "big") if message[0] == 6 else 0


def _parse_format(packed: bytes) -> _PixelFormat:
    numbers = struct.unpack(">BBBBHHHBBB3x", packed)
    bits, _, big, true_colours = numbers[:4]
    if bits not in (8, 16, 32) or not true_colours:
        raise _Ended
    return _PixelFormat(bits // 8, bool(big), numbers[4:7], numbers[7:])


def _character(key: int) -> str:
    if 0x20 <= key <= 0x7E or 0xA0 <= key <= 0xFF:
        return chr(key)
    return chr(key - 0x01000000) if 0x01000100 <= key <= 0x0110FFFF else ""


@functools.lru_cache(256)  # most lines are blank, or were shown before
def _encode(line: str, pixels: _PixelFormat) -> bytes:
    ground, text = map(pixels.render, screen.COLOURS)
    flat = b"".join(screen.draw(line))
    return text.join(ground * len(part) for part in flat.split(b"\x01"))
