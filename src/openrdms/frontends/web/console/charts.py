"""Numbers for charts; templates/console/charts.html draws them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Share(NamedTuple):
    """A number with its name, in English, and the tone of its colour; ``key`` for links."""

    key: str
    words: str
    number: int
    tone: str


def deal(parts: Sequence[Share], cells: int) -> list[str]:
    """Tones of that many cells at most, shared out by the numbers of the parts.

    Whatever there is has a cell, so that one failure among thousands shows; there must be as many.
    """
    present = [part for part in parts if part.number]
    whole = sum(part.number for part in present)
    if whole <= cells:
        return [part.tone for part in present for _ in range(part.number)]
    spare = cells - len(present)
    shares = [1 + part.number * spare // whole for part in present]
    largest = shares.index(max(shares))
    shares[largest] += cells - sum(shares)
    return [part.tone for part, share in zip(present, shares, strict=True) for _ in range(share)]
