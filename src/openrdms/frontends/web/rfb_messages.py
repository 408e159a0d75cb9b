"""What a viewer may send to a display: messages of RFB (RFC 6143 7.5, and rfbproto on GitHub).

Only what is listed here is let through, so that who may look cannot type, nobody takes a display
for himself alone, and a server never meets what we do not know.
"""

from __future__ import annotations

import struct

from openrdms.model.display_ticket import Mode

VERSION = b"RFB 003.008\n"
_NO_AUTHENTICATION = b"\x01"
_SHARED = b"\x01"

MAX_TEXT = 64 << 10
"""Octets of a viewer's clipboard."""

_SET_ENCODINGS, _CUT_TEXT, _FENCE, _DESKTOP_SIZE, _QEMU = 2, 6, 248, 251, 255
_XVP, _QEMU_KEY = 250, 0
_LENGTHS = {0: 20, 2: 4, 3: 10, 4: 8, 5: 6, 6: 8, 150: 10, 248: 9, 250: 4, 251: 8, 255: 12}
"""Octets of each known message up to where it tells how long the rest is."""

_LOOKING = frozenset({0, _SET_ENCODINGS, 3})
_INPUT = frozenset({4, 5, _CUT_TEXT, _QEMU})
_USING = _LOOKING | _INPUT | {150, _FENCE, _DESKTOP_SIZE}

# Pseudo-encodings say what a viewer understands: what else it may send follows from them.
_CURSORS, _SIZE, _LAST_RECTANGLE, _NAME, _LOCKS = {-239, 0x574D5664}, -223, -224, -307, -261
_LOOKS = {*_CURSORS, _SIZE, _LAST_RECTANGLE, _NAME, _LOCKS, *range(-32, -22), *range(-256, -246)}
_NEW_SIZE = -308
_USES = _LOOKS | {-258, _NEW_SIZE, -312, -313}  # scan codes, sizes, fences, continuous updates


class WrongMessage(ValueError):
    """No RFB, or none that we let through; the words quote nothing."""


class ViewerMessages:
    """Lets one viewer's stream through, message by message."""

    def __init__(self, mode: Mode, *, is_holder: bool) -> None:
        """The screen has the size of its holder's window; who helps him leaves it as it is."""
        passing = _USING if mode is Mode.CONTROL else _LOOKING
        encodings = _USES if mode is Mode.CONTROL else _LOOKS
        self._passing = passing if is_holder else passing - {_DESKTOP_SIZE}
        self._encodings = encodings if is_holder else encodings - {_NEW_SIZE}
        self._greeting = [VERSION, _NO_AUTHENTICATION, _SHARED]
        self._rest = bytearray()
        self.has_typed = False
        """Whether its user has done anything since somebody set this to False."""

    def feed(self, received: bytes) -> bytes:
        """What of it goes to the display now; a message that is not whole waits. WrongMessage."""
        self._rest += received
        passed = bytearray()
        while (length := self._find_length()) and len(self._rest) >= length:
            message = bytes(self._rest[:length])
            del self._rest[:length]
            passed += self._greet(message) if self._greeting else self._judge(message)
        return bytes(passed)

    def _find_length(self) -> int:
        """Of the next message, as far as it is known; 0 when there is none."""
        if self._greeting:
            return len(self._greeting[0])
        if not self._rest:
            return 0
        length = _LENGTHS.get(self._rest[0])
        if length is None:
            raise WrongMessage(f"message {self._rest[0]} is not known")
        return length + self._find_more() if len(self._rest) >= length else length

    def _find_more(self) -> int:
        head = self._rest
        match head[0]:
            case 2:
                return 4 * int.from_bytes(head[2:4], "big")
            case 6:
                size = int.from_bytes(head[4:8], "big")
                if size > MAX_TEXT:
                    raise WrongMessage("a clipboard that is too large")
                return size
            case 248:
                return head[8]
            case 251:
                return 16 * head[6]
            case 255 if head[1] != _QEMU_KEY:
                raise WrongMessage("a message of QEMU's that is not known")
        return 0

    def _greet(self, message: bytes) -> bytes:
        """Version and security are as they must be; a display is always shared."""
        wanted = self._greeting.pop(0)
        if self._greeting and message != wanted:
            raise WrongMessage("another version of RFB, or authentication")
        return wanted

    def _judge(self, message: bytes) -> bytes:
        kind = message[0]
        if kind not in self._passing:
            return b""
        self.has_typed |= kind in _INPUT
        return self._narrow(message) if kind == _SET_ENCODINGS else message

    def _narrow(self, message: bytes) -> bytes:
        """Encodings of pixels, and of the others those whose messages we know."""
        asked = struct.unpack(f">{(len(message) - 4) // 4}i", message[4:])
        known = [code for code in asked if 0 <= code < 1 << 16 or code in self._encodings]
        return struct.pack(f">BxH{len(known)}i", _SET_ENCODINGS, len(known), *known)
