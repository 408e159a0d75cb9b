"""Requests that a client repeats, read once.

Who polls sends the same envelope again and again, but for the ids in its header. Such a request
is found by all its octets but these ids, and needs no XML parser: that is a third of what a Get
costs. Only reads are kept, as others may hold passwords, and no big ones.
"""

from __future__ import annotations

import re
from dataclasses import replace

from openrdms.frontends.wsman.soap import Echo, Message, Request

MAX_KEPT = 512
MAX_OCTETS = 8_192
MAX_ID = 256

_IDS = re.compile(
    rb"(<(?:[\w.-]{1,32}:)?(MessageID|OperationID)(?:\s[^<>]*)?>)([ -%'-;=?-~]*)(?=</)"
)
"""Plain ASCII between two tags: exchanging it changes nothing else of what a parser sees."""

_Key = tuple[bytes, ...]


class RepeatedRequests:
    """What was read of recent requests. Any thread may call: entries are never changed."""

    def __init__(self) -> None:
        self._kept: dict[_Key, Request] = {}

    def find(self, data: bytes) -> Request | None:
        """The request, with its own ids, if all else of it was read before."""
        if len(data) > MAX_OCTETS:
            return None
        key, ids = _split(data)
        known = self._kept.get(key)
        if known is None:
            return None
        texts = {name: text.decode() for name, text in ids}
        if not all(text.strip() and len(text) <= MAX_ID for text in texts.values()):
            return None
        echo = Echo(texts.get(b"MessageID", ""), texts.get(b"OperationID", ""))
        return replace(known, echo=echo)

    def keep(self, data: bytes, message: Message, request: Request) -> None:
        """Remember a request that was read from ``message``, if it is one to keep."""
        if len(data) > MAX_OCTETS or not request.action.rpartition("/")[2].startswith("Get"):
            return
        key, ids = _split(data)
        echo = (message.echo.message_id, message.echo.operation_id)
        header = [(name, text) for name, text in zip(_NAMES, echo, strict=True) if text]
        # What looks like an id elsewhere, or in a comment, would be taken for the header's.
        if sorted(ids) != sorted((name, text.encode()) for name, text in header):
            return
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = request


_NAMES = (b"MessageID", b"OperationID")


def _split(data: bytes) -> tuple[_Key, list[tuple[bytes, bytes]]]:
    """All octets but the ids, and the ids by name."""
    parts = _IDS.split(data)
    ids = list(zip(parts[2::4], parts[3::4], strict=True))
    del parts[3::4]
    return tuple(parts), ids
