"""Requests that a client repeats, read once.

Who polls sends the same envelope again and again, but for the ids in its header. Such a request
is found by all its octets but these ids, and needs no XML parser: that is a third of what a Get
costs. Only reads are kept, as others may hold passwords, and no big ones.
"""

from __future__ import annotations

import re

from openrdms.frontends.wsman.soap import Echo, Message, Request

MAX_KEPT = 512
MAX_OCTETS = 8_192

_ATTRIBUTES = rb"(?:\s[^<>]{0,256}+)?"
_TEXT = rb"([ -%'-;=?-~]{1,256}+)(?=</)"
"""Plain ASCII between two tags: exchanging it changes nothing else of what a parser sees. Bounded,
as texts full of what looks like an id must not take long.
"""

_IDS = re.compile(rb"ID(?:(?<=MessageID)|(?<=OperationID))(" + _ATTRIBUTES + rb">)" + _TEXT)
"""What may be ids; it begins with what is quickly found."""

_IDS_BY_NAME = re.compile(
    rb"<(?:[\w.-]{1,32}:)?(MessageID|OperationID)" + _ATTRIBUTES + rb">" + _TEXT
)

_Key = tuple[bytes, ...]
_FIELDS = {b"MessageID": "message_id", b"OperationID": "operation_id"}


class RepeatedRequests:
    """What was read of recent requests. Any thread may call: entries are never changed."""

    def __init__(self) -> None:
        self._kept: dict[_Key, tuple[Request, list[str]]] = {}
        """With the names of its ids, in their order."""

    def find(self, data: bytes) -> Request | None:
        """The request, with its own ids, if all else of it was read before."""
        if len(data) > MAX_OCTETS:
            return None
        key, texts = _split(data)
        known = self._kept.get(key)
        if known is None:
            return None
        if not all(map(bytes.strip, texts)):
            return None
        request, fields = known
        ids = {field: text.decode() for field, text in zip(fields, texts, strict=True)}
        return request._replace(echo=Echo(**ids))

    def keep(self, data: bytes, message: Message, request: Request) -> None:
        """Remember a request that was read from ``message``, if it is one to keep."""
        if len(data) > MAX_OCTETS or not request.action.rpartition("/")[2].startswith("Get"):
            return
        if b"\0" in data:  # UTF-16, whose octets are no text
            return
        key, texts = _split(data)
        ids = _IDS_BY_NAME.findall(data)
        echo = (message.echo.message_id, message.echo.operation_id)
        header = [(name, text.encode()) for name, text in zip(_FIELDS, echo, strict=True) if text]
        if sorted(ids) != sorted(header) or texts != [text for _, text in ids]:
            return
        # What looks like an id elsewhere would be taken for the header's, whose text may be
        # written in another way: both names are found in the tags of the ids and nowhere else.
        if sum(map(data.count, _FIELDS)) != 2 * len(ids):
            return
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = request, [_FIELDS[name] for name, _ in ids]


def _split(data: bytes) -> tuple[_Key, list[bytes]]:
    """All octets but the ids, and what may be these."""
    parts = _IDS.split(data)
    texts = parts[2::3]
    del parts[2::3]
    return tuple(parts), texts
