"""Changes of one job's rows, written together: while one transaction runs the next one fills."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from openrdms import ports
from openrdms.model.desktop import Desktop
from openrdms.model.job import JobDesktop
from openrdms.services.provisioning.records import with_records

_PACE = 0.01
"""Seconds from one transaction to the next: a few milliseconds more for one desktop, a fraction of
the transactions for a thousand.
"""

_REST = 4
"""Times what the last transaction took: so long the next one waits while there is much to do, so
that there are fewer and larger ones; at most ``_LONGEST`` seconds.
"""
_LONGEST = 0.05

_LARGEST = 500
"""Rows of a transaction, so that cancels and users wait for no more."""


@dataclass(slots=True)
class Change:
    """A row as it is now, and what becomes true with it (see ports.JobStore.put_job_desktops)."""

    row: JobDesktop
    record: Desktop | None = None
    dropped: bool = False
    mark: str | None = None


@dataclass(slots=True)
class _Parcel:
    changes: Sequence[Change]
    written: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Outbox:
    """Of one job, on one event loop."""

    def __init__(self, store: ports.Store, clock: ports.Clock) -> None:
        self._store = store
        self._clock = clock
        self._parcels: list[_Parcel] = []
        self._sender: asyncio.Task[None] | None = None
        self._next = 0.0
        self._due = asyncio.Event()

    async def put(self, changes: Sequence[Change], *, last: bool = False) -> None:
        """Return when they are on disk. Raises what the store raises, to all in one transaction.

        What is ``last`` waits for nothing that could be written with it.
        """
        parcels = [_Parcel(changes[at : at + _LARGEST]) for at in range(0, len(changes), _LARGEST)]
        self._parcels += parcels
        if last:
            self._due.set()
        if parcels and self._sender is None:
            self._sender = asyncio.create_task(self._send())
        for parcel in parcels:
            await parcel.written

    async def _send(self) -> None:
        while self._parcels:
            await self._rest()
            begun = time.monotonic()
            parcels = self._take()
            error: BaseException | None = None
            try:
                await with_records(self._write, [c for p in parcels for c in p.changes])
            except BaseException as failure:  # noqa: BLE001  raised to who put them
                error = failure
            took = time.monotonic() - begun
            self._next = begun + max(_PACE, min(_REST * took, _LONGEST))
            for parcel in parcels:
                if parcel.written.cancelled():
                    continue
                if error is None:
                    parcel.written.set_result(None)
                else:
                    parcel.written.set_exception(error)
        self._sender = None

    async def _rest(self) -> None:
        """Until the next transaction may begin."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._next - time.monotonic(), self._due.set)
        await self._due.wait()
        timer.cancel()
        self._due.clear()

    def _take(self) -> list[_Parcel]:
        """The first ones, as many as go together."""
        rows, count = 0, 0
        for parcel in self._parcels:
            rows += len(parcel.changes)
            if rows > _LARGEST and count:
                break
            count += 1
        taken, self._parcels = self._parcels[:count], self._parcels[count:]
        return taken

    def _write(self, changes: Sequence[Change]) -> None:
        latest = {change.row.ordinal: change.row for change in changes}
        self._store.put_job_desktops(
            list(latest.values()),
            self._clock(),
            records=[change.record for change in changes if change.record],
            dropped=[change.row.name for change in changes if change.dropped],
            marks={c.row.name: c.mark for c in changes if c.mark is not None},
        )
