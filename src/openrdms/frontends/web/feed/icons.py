"""Icons as the feed serves them: .ico always, .png of 32 pixels where there is one.

The interface names no format of icons. Windows sends .ico; others send PNG, which an .ico may
hold as it is. Anything else, and nothing, is shown as a desktop.
"""

from __future__ import annotations

import functools
import struct
import zlib

_ICO, _PNG = b"\x00\x00\x01\x00", b"\x89PNG\r\n\x1a\n"
_ENTRY = struct.Struct("<BBBBHHII")
_SIZE = 32
_MOST_ENTRIES = 64

_CLEAR, _FRAME, _SCREEN, _LIGHT = (
    bytes(4),
    b"\x2b\x32\x3f\xff",
    b"\x20\x4a\x87\xff",
    b"\x72\x9f\xcf\xff",
)


def as_ico(icon: bytes | None) -> bytes:
    """What the icon is in an .ico file."""
    if icon and icon.startswith(_ICO):
        return icon
    png = icon if icon and icon.startswith(_PNG) else default_png()
    width, height = struct.unpack(">II", png[16:24].ljust(8, b"\0"))
    entry = _ENTRY.pack(width & 255, height & 255, 0, 0, 1, 32, len(png), 6 + _ENTRY.size)
    return _ICO + struct.pack("<H", 1) + entry + png


def find_png(icon: bytes | None) -> bytes | None:
    """It as PNG of 32 by 32 pixels, None when it has no such picture."""
    if not icon or not icon.startswith((_ICO, _PNG)):
        return default_png()
    if icon.startswith(_PNG):
        return icon if icon[16:24] == struct.pack(">II", _SIZE, _SIZE) else None
    count = min(int.from_bytes(icon[4:6], "little"), _MOST_ENTRIES)
    for at in range(6, 6 + count * _ENTRY.size, _ENTRY.size):
        if at + _ENTRY.size > len(icon):
            return None
        width, _, _, _, _, _, length, offset = _ENTRY.unpack_from(icon, at)
        picture = icon[offset : offset + length]
        if width == _SIZE and picture.startswith(_PNG):
            return picture
    return None


@functools.cache
def default_png() -> bytes:
    """A screen on its foot."""
    rows = b"".join(b"\0" + b"".join(_pixel(x, y) for x in range(_SIZE)) for y in range(_SIZE))
    size = struct.pack(">IIBBBBB", _SIZE, _SIZE, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", size), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return _PNG + b"".join(_chunk(kind, content) for kind, content in chunks)


def _pixel(x: int, y: int) -> bytes:
    if 4 <= y < 20 and 3 <= x < 29:
        return _LIGHT if x + y < 22 else _SCREEN
    if 2 <= y < 22 and 1 <= x < 31:
        return _FRAME
    foot = (22 <= y < 26 and 13 <= x < 19) or (26 <= y < 28 and 8 <= x < 24)
    return _FRAME if foot else _CLEAR


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check
