"""xfreerdp on a screen that nobody sees, and pictures of it."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from live.service import until

WIDTH, HEIGHT = 1024, 768


class Screen:
    """Xvfb's frame buffer, which it keeps in a file in xwd's form (XWDFile.h)."""

    def __init__(self, display: int, file: Path) -> None:
        self.display = f":{display}"
        self._file = file

    def pixel(self, x: int, y: int) -> bytes:
        """Red, green, blue."""
        content, start, stride = self._read()
        blue, green, red = content[start + y * stride + 4 * x :][:3]
        return bytes((red, green, blue))

    def picture(self) -> bytes:
        """As PNG."""
        content, start, stride = self._read()
        rows = bytearray()
        for y in range(HEIGHT):
            line = content[start + y * stride :][: 4 * WIDTH]
            pixels = bytearray(3 * WIDTH)
            for colour in range(3):
                pixels[colour::3] = line[2 - colour :: 4]
            rows += b"\0" + pixels
        size = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)

    def _read(self) -> tuple[bytes, int, int]:
        content = self._file.read_bytes()
        header = struct.unpack(">25I", content[:100])
        return content, header[0] + header[19] * 12, header[12]


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


@contextmanager
def open_screen(place: Path) -> Iterator[Screen]:
    """A screen of its own, which ends with the block."""
    place.mkdir(exist_ok=True)
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{WIDTH}x{HEIGHT}x24"]
    with open(reading) as number, (place / "xvfb.log").open("wb") as log:
        xvfb = subprocess.Popen(
            [*command, "-nolisten", "tcp", "-fbdir", str(place)], pass_fds=[writing], stderr=log
        )
        os.close(writing)
        try:
            yield Screen(int(number.readline()), place / "Xvfb_screen0")
        finally:
            xvfb.terminate()
            xvfb.wait()


@contextmanager
def open_file(file: Path, password: str, screen: Screen) -> Iterator[subprocess.Popen[bytes]]:
    """xfreerdp with an RDP file, as if somebody had opened it; it ends with the block."""
    command = ["xfreerdp", str(file), "/from-stdin:force", "/cert:ignore", "/log-level:INFO"]
    with file.with_suffix(".log").open("wb") as log:
        client = subprocess.Popen(
            [*command, f"/size:{WIDTH}x{HEIGHT}"],
            env={**os.environ, "DISPLAY": screen.display},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
        try:
            assert client.stdin
            with client.stdin as keyboard:
                keyboard.write(f"{password}\n".encode())
            yield client
        finally:
            client.terminate()
            client.wait()


def wait_for_colour(screen: Screen, colour: bytes, at: tuple[int, int], seconds: float) -> None:
    """Until that pixel has it."""
    until(f"{at} is {colour.hex()}", lambda: screen.pixel(*at) == colour, seconds, pause=0.5)
