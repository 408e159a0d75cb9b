"""Lists by pages. A cursor is the key of the last item seen, so that pages neither overlap nor miss
anything that was there all the time, whatever comes and goes in between.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Generic, NamedTuple, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel

from openrdms.model.errors import InvalidParameter

Item = TypeVar("Item")
Record = TypeVar("Record")

DEFAULT, MOST = 100, 1000
_LONGEST = 1500
"""Characters of a cursor: keys of ours have 256 at most."""


class Page(BaseModel, Generic[Item]):
    """Some items of a list; ``next`` is the cursor of those that follow, null after the last."""

    items: list[Item]
    next: str | None = None


class Part(NamedTuple):
    """Which part of a list is wanted: ``limit`` items behind the one with the key ``after``, which
    is "" for the first ones."""

    limit: int = DEFAULT
    after: str = ""

    def page(
        self,
        found: Sequence[Record],
        key: Callable[[Record], str],
        render: Callable[[Record], Item],
    ) -> Page[Item]:
        """What was found from there on, in order of ``key``; one more than wanted says that there
        are more.
        """
        items, more = found[: self.limit], found[self.limit :]
        following = encode_cursor(key(items[-1])) if more else None
        return Page(items=[render(item) for item in items], next=following)

    def cut(
        self,
        records: Iterable[Record],
        key: Callable[[Record], str],
        render: Callable[[Record], Item],
    ) -> Page[Item]:
        """As ``page``, of all records there are, in any order."""
        later = sorted((one for one in records if key(one) > self.after), key=key)
        return self.page(later[: self.limit + 1], key, render)


def encode_cursor(key: str) -> str:
    """Opaque, and fit for a URL."""
    return base64.urlsafe_b64encode(json.dumps([key]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> str:
    """The key in it. InvalidParameter for what we have not made."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        (key,) = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        str.encode(key)  # neither another type nor half a pair of surrogates is a key of ours
    except (ValueError, TypeError) as error:
        raise InvalidParameter("cursor", "is not one that a list has given") from error
    return str(key)


def _read_part(
    limit: Annotated[int, Query(ge=1, le=MOST, description="How many items at most.")] = DEFAULT,
    cursor: Annotated[
        str, Query(max_length=_LONGEST, description="`next` of the page before; none: the first.")
    ] = "",
) -> Part:
    return Part(limit, decode_cursor(cursor) if cursor else "")


Paging = Annotated[Part, Depends(_read_part)]
"""A route's parameter."""
