"""A guest's screen as PNG: who is logged on and the messages they were sent, in a 3x5 font."""

from __future__ import annotations

import struct
import textwrap
import zlib
from collections.abc import Sequence

COLUMNS, ROWS, SCALE = 60, 22, 3
_CELL_WIDTH, CELL_HEIGHT = 4 * SCALE, 7 * SCALE
WIDTH, HEIGHT = COLUMNS * _CELL_WIDTH, ROWS * CELL_HEIGHT
COLOURS = (bytes.fromhex("102a43"), bytes.fromhex("ffffff"))
"""Of the ground and of the text: red, green, blue."""

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
    rows = (row for line in wrap(lines) for row in draw(line))
    return _png(WIDTH, HEIGHT, b"".join(b"\0" + row for row in rows))  # 0: PNG's filter type


def wrap(lines: Sequence[str]) -> list[str]:
    """The screen's lines of text; what does not fit scrolls off."""
    wrapped = [part for line in lines for part in textwrap.wrap(line, COLUMNS) or [""]]
    return [line.ljust(COLUMNS) for line in wrapped[-ROWS:] + [""] * (ROWS - len(wrapped))]


def draw(line: str) -> list[bytes]:
    """The pixel rows of one such line, one byte a pixel: a number of ``COLOURS``."""
    glyphs = [_GLYPHS.get(char.upper(), _UNKNOWN) for char in line]
    blank = bytes(WIDTH)
    rows = [blank] * SCALE
    for row in range(5):
        rows += [b"".join(_stretch(int(glyph[row], 8)) for glyph in glyphs)] * SCALE
    return rows + [blank] * SCALE


def _stretch(bits: int) -> bytes:
    return b"".join(bytes([bits >> shift & 1]) * SCALE for shift in (2, 1, 0)) + bytes(SCALE)


def _png(width: int, height: int, pixels: bytes) -> bytes:
    """PNG (ISO/IEC 15948) with a palette of two colours, 8 bits a pixel."""
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    palette = b"".join(COLOURS)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"IDAT", zlib.compress(pixels)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
