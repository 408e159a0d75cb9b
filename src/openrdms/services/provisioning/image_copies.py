"""Images on hosts that have their own: brought there before the first disk over them is made."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from openrdms import ports
from openrdms.jobs.halt import Halted
from openrdms.jobs.tokens import Kind
from openrdms.model import errors
from openrdms.model.image import ImageVersion
from openrdms.model.job import JobDesktop
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.provisioning.work import Work


async def ensure_image(work: Work, row: JobDesktop) -> None:
    """Return when the row's host has its image. One copy at a time goes to a host.

    Raises Halted when the job halts; what has come until then is there for the next attempt.
    HostUnavailable, RecordsUnavailable: ask again. What else is wrong with a copy all that need it
    are told: NotFound, OperationFailed, OutOfSpace.
    """
    key = (row.host, row.image)
    copy = work.copies.get(key)
    if copy is None:
        copy = work.copies[key] = ImageCopy(work, row)
    await copy.await_end(row)


@dataclass(frozen=True)
class _Mark:
    """``share`` of the image, 0 to 1, was there at ``time``, by the monotonic clock."""

    share: float
    time: float


class ImageCopy:
    """Of one image to one host, for all desktops of a job that need it there."""

    def __init__(self, work: Work, row: JobDesktop) -> None:
        """Begin with it, for the first of them. On the job's event loop."""
        self._work = work
        self._row = row
        self._awaited = 0
        self._marks: tuple[_Mark, _Mark] | None = None
        """The first, which may tell of what an earlier attempt has brought, and the last."""
        self._task = asyncio.create_task(self._bring())

    async def await_end(self, row: JobDesktop) -> None:
        """See ``ensure_image``."""
        if self._task.done():
            self._task.result()
            return
        work = self._work
        self._awaited += 1
        tell = partial(self._tell, self._awaited, work.tools.clock())
        with work.tools.waits.during(work.job.guid, row.ordinal, tell):
            await asyncio.shield(self._task)

    async def _bring(self) -> None:
        work, row = self._work, self._row
        try:
            image = await work.with_store(work.image, row.image)
            host = work.host(row)
            await work.tools.tokens.call(row.host, Kind.COPY, work.gate, self._copy, host, image)
        except errors.InvalidOperation:
            if work.halted:
                raise Halted from None
            raise
        except (errors.HostUnavailable, errors.RecordsUnavailable):
            work.copies.pop((row.host, row.image), None)
            raise

    def _copy(self, host: ports.Host, image: ImageVersion) -> None:
        """In a thread, when its turn has come. What is there already is no measure of a copy."""
        work = self._work
        if not host.has_image(image):
            go_on = partial(_goes_on, work)
            work.act(self._row, Kind.COPY, host.copy_image, image, go_on, self._note)

    def _note(self, share: float) -> None:
        mark = _Mark(share, time.monotonic())
        self._marks = (self._marks[0] if self._marks else mark, mark)

    def _tell(self, position: int, since: datetime) -> Wait:
        """Those that need it go on in the order in which they came."""
        words = f"waits until {self._row.host} has image {self._row.image}"
        if self._count_before():
            words = f"{words}, which is copied there after another one"
        elif self._marks:
            words = f"{words}, of which {self._marks[1].share:.0%} is there"
        return Wait(ReasonCode.IMAGE_COPY, words, since, position, self.left())

    def _count_before(self) -> int:
        """Copies to the host that end before this one begins."""
        ahead = self._work.tools.tokens.list_ahead(self._row.host, Kind.COPY, self._copy)
        return 0 if ahead is None else len(ahead) + 1

    def left(self) -> float | None:
        """Seconds until it is there: as it has gone until now, else as such copies usually go; 0
        when it is over, None when there is no telling.
        """
        if self._task.done():
            return 0.0
        now = time.monotonic()
        if self._marks:
            first, last = self._marks
            if last.share > first.share:
                pace = (last.time - first.time) / (last.share - first.share)
                return max(0.0, (1 - last.share) * pace - (now - last.time))
        usual = self._work.tools.times.estimate(self._row.host, Kind.COPY)
        return None if usual is None else (self._count_before() + 1) * usual


def _goes_on(work: Work) -> bool:
    return not work.halted
