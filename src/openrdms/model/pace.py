"""How desktops of a job follow each other on a host: a rule on measured times."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """Of one host, in seconds.

    ``calls``: from the calls of one desktop on the host to those of the next, at best. ``alone``:
    what one that is started takes by itself, of which ``boot`` is without calls. ``hands``: how
    many may be under way at a time.
    """

    calls: float
    alone: float
    boot: float
    hands: int

    def last(self, desktops: int, started: int) -> float:
        """Until all of so many are done, of which ``started`` boot."""
        if not desktops:
            return 0.0
        rounds = math.ceil(started / self.hands)
        return max(self.alone, desktops * self.calls + self.boot, rounds * self.alone)

    def begins(self, ages: Iterable[float] = (), calling: int = 0) -> Iterator[float]:
        """Until the first call of each in a line, in its order, without end.

        ``ages``: since when those that are before the line are under way; ``calling`` of them are
        not through with their calls.
        """
        ends = [max(0.0, self.alone - age) for age in ages]
        heapq.heapify(ends)
        while True:
            calling += 1
            begin = calling * self.calls
            if len(ends) < self.hands:
                heapq.heappush(ends, begin + self.alone)
            else:
                begin = max(ends[0], begin)
                heapq.heapreplace(ends, begin + self.alone)
            yield begin
