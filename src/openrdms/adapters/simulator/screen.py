"""A guest's screen as PNG: who is logged on and the messages they were sent, in a 3x5 font."""

from __future__ import annotations

import struct
import textwrap
import zlib
from collections.abc import Sequence

COLUMNS, ROWS, SCALE = 60, 22, 3
_CELL_WIDTH, _CELL_HEIGHT = 4 * SCALE, 7 * SCALE

# Five rows a glyph, each an octal digit whose bits are pixels; letters are drawn as capitals.
_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;!?-+=()/'\"_<>*%#$&@[]\\|"
_FONT = (
    "2575565656344436555674647746443455355755722271115255655444475775565555"
    "2555265644255636565534216722225555755552557755525555222"
    "712472555226227612476121655711746163465771222252527531600000000020002402020020242220261202"
    "007000272007070122214222411244220005500000007124214212405250512455757536726252572574332223"
    "622264421122222"
)
_GLYPHS = dict(zip(_CHARACTERS, textwrap.wrap(_FONT, 5), strict=True))
_UNKNOWN = "77777"


def render(lines: Sequence[str]) -> bytes:
    """PNG of a text screen, 720 x 462 pixels, white on dark blue; what does not fit scrolls off."""
    wrapped = [part for line in lines for part in textwrap.wrap(line, COLUMNS) or [""]]
    screen = wrapped[-ROWS:] + [""] * (ROWS - len(wrapped))
    pixels = b"".join(_text_row(line.ljust(COLUMNS)) for line in screen)
    return _png(COLUMNS * _CELL_WIDTH, ROWS * _CELL_HEIGHT, pixels)


def _text_row(line: str) -> bytes:
    """The pixel rows of one line of text, one byte a pixel, each led by PNG's filter type 0."""
    glyphs = [_GLYPHS.get(char.upper(), _UNKNOWN) for char in line]
    blank = bytes(1 + len(line) * _CELL_WIDTH)
    rows = [blank] * SCALE
    for row in range(5):
        bits = b"".join(_stretch(int(glyph[row], 8)) for glyph in glyphs)
        rows += [b"\0" + bits] * SCALE
    return b"".join([*rows, *[blank] * SCALE])


def _stretch(bits: int) -> bytes:
    return b"".join(bytes([bits >> shift & 1]) * SCALE for shift in (2, 1, 0)) + bytes(SCALE)


def _png(width: int, height: int, pixels: bytes) -> bytes:
    """PNG (ISO/IEC 15948) with a palette of two colours, 8 bits a pixel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = bytes.fromhex("102a43ffffff")
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
