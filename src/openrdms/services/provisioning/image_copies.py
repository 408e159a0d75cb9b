"""Images on hosts that have their own: brought there before the first disk over them is made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from openrdms import ports
from openrdms.jobs.halt import Halted
from openrdms.jobs.tokens import Kind
from openrdms.model import errors
from openrdms.model.image import ImageVersion
from openrdms.model.job import JobDesktop
from openrdms.model.reason import ReasonCode
from openrdms.services.provisioning.work import Work


async def ensure_image(work: Work, row: JobDesktop) -> None:
    """Return when the row's host has its image. One copy at a time goes to a host.

    Raises Halted when the job halts; what has come until then is there for the next attempt.
    HostUnavailable, OperationFailed, OutOfSpace.
    """
    key = (row.host, row.image)
    copy = work.copies.get(key)
    if copy is None:
        copy = work.copies[key] = asyncio.create_task(_bring(work, row))
    if copy.done():
        copy.result()
        return
    words = f"waits until {row.host} has image {row.image}"
    with work.waiting(row, ReasonCode.IMAGE_COPY, words):
        await asyncio.shield(copy)


async def _bring(work: Work, row: JobDesktop) -> None:
    host, image = work.host(row), work.image(row.image)
    try:
        await work.on_host(row, Kind.COPY, _copy, host, image, lambda: not work.halted)
    except errors.InvalidOperation:
        if work.halted:
            raise Halted from None
        raise
    except errors.HostUnavailable:
        del work.copies[row.host, row.image]
        raise


def _copy(host: ports.Host, image: ImageVersion, go_on: Callable[[], bool]) -> None:
    if not host.has_image(image):
        host.copy_image(image, go_on, lambda _share: None)
