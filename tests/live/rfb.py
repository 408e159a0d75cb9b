"""A viewer of desktops: RFB (RFC 6143) over a connected stream, in raw encoding, blocking."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from typing import Protocol

RETURN = 0xFF0D


class Stream(Protocol):
    """A socket, or what looks like one."""

    def sendall(self, data: bytes, /) -> None: ...
    def recv(self, size: int, /) -> bytes:
        """b"" at its end."""

    def close(self) -> None: ...


class Ended(Exception):
    """The server has closed the stream."""


class Viewer:
    """What a screen shows, in 4 octets a pixel."""

    def __init__(self, stream: socket.socket | Stream, *, shared: bool = True) -> None:
        self._stream = stream
        self._received = b""
        self.version = self._take(12)
        self._send(b"RFB 003.008\n")
        assert 1 in self._take(self._take(1)[0]), "authentication is asked for"
        self._send(b"\x01")
        assert self._take(4) == bytes(4)
        self._send(bytes([shared]))
        self.width, self.height = struct.unpack(">HH", self._take(4))
        self._take(16)
        self.name = self._take(int.from_bytes(self._take(4), "big")).decode()
        self.pixels = bytearray(self.width * self.height * 4)
        form = struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
        self._send(b"\0\0\0\0" + form)
        self._send(struct.pack(">BxHi", 2, 1, 0))

    def look(self, *, whole: bool = True) -> bytes:
        """Ask for the screen, or for what changes next, and wait for it."""
        asked = struct.pack(">BBHHHH", 3, not whole, 0, 0, self.width, self.height)
        self._send(asked)
        while self._take_message() != 0:
            pass
        return bytes(self.pixels)

    def look_until_it_changes(self, before: bytes, seconds: float = 30) -> bytes:
        """The screen once it shows something else than it did."""
        deadline = time.monotonic() + seconds
        while (now := self.look(whole=False)) == before:
            assert time.monotonic() < deadline, f"nothing has changed within {seconds} s"
        return now

    def press(self, *keys: int) -> None:
        """Press them together."""
        for down, order in ((1, keys), (0, keys[::-1])):
            for key in order:
                self._send(struct.pack(">BBxxI", 4, down, key))

    def type(self, text: str) -> None:
        """Press the keys of ASCII characters one after the other."""
        for character in text:
            self.press(RETURN if character == "\n" else ord(character))

    def close(self) -> None:
        """Go."""
        self._stream.close()

    def wait_for_end(self) -> None:
        """Return when the server closes the stream, or resets it with what it has not read."""
        with suppress(ConnectionResetError):
            while self._stream.recv(1 << 16):
                pass

    def _send(self, message: bytes) -> None:
        with suppress(BrokenPipeError):  # reading tells that it has ended
            self._stream.sendall(message)

    def _take_message(self) -> int:
        (kind,) = self._take(1)
        match kind:
            case 0:
                (_, count) = struct.unpack(">BH", self._take(3))
                for _ in range(count):
                    self._take_rectangle()
            case 2:
                pass
            case _:
                raise AssertionError(f"message {kind}")
        return int(kind)

    def _take_rectangle(self) -> None:
        left, top, width, height, encoding = struct.unpack(">HHHHi", self._take(12))
        assert encoding == 0
        pixels = self._take(width * height * 4)
        for row in range(height):
            at = ((top + row) * self.width + left) * 4
            self.pixels[at : at + width * 4] = pixels[row * width * 4 : (row + 1) * width * 4]

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            try:
                received = self._stream.recv(1 << 16)
            except ConnectionResetError:  # it left unread what was sent
                received = b""
            if not received:
                raise Ended
            self._received += received
        taken, self._received = self._received[:size], self._received[size:]
        return taken
