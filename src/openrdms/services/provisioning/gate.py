"""Whether desktops of an update are good: they boot, their agents answer, the probe ends with 0."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import lru_cache

from openrdms.jobs.tokens import Kind
from openrdms.model import errors
from openrdms.model.job import JobDesktop
from openrdms.model.provisioning import parse_job
from openrdms.model.reason import ReasonCode
from openrdms.services.provisioning import stages
from openrdms.services.provisioning.work import Work

TRIAL = "started to try its image"
"""In the notes of a desktop that is left off, as long as it may run all the same."""

_PROBE_SECONDS = 60.0
"""What the probe looks at may still be starting when the agent answers, but not for ever."""

_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_MOST_WORDS = 200


async def identify(work: Work, row: JobDesktop) -> None:
    """Last phase of an update: give the desktop its identity, then ask what it is good for."""
    await stages.set_identity(work, row)
    await probe(work, row)


async def probe(work: Work, row: JobDesktop) -> None:
    """Run the job's probe until it ends with 0. PhaseFailed when it never did so in time.

    It is asked again for a minute, or for as long as the whole boot may take if that is less.
    """
    command = _probe_of(work.job.document)
    if not command:
        return
    deadline = time.monotonic() + min(_PROBE_SECONDS, work.tools.boot_deadline)
    pause = _PAUSE
    words = "waits for the probe to end with 0"
    while True:
        left = deadline - time.monotonic()
        with work.waiting(row, ReasonCode.PROBE_AWAITED, words, left):
            said = await _ask(work, row, command, left)
        if not said:
            return
        if time.monotonic() + pause > deadline:
            raise stages.PhaseFailed(f"the probe {said}", ReasonCode.PROBE_FAILED)
        words = f"asks again, as the probe {said}"
        with work.waiting(row, ReasonCode.PROBE_AWAITED, words, pause):
            await work.wait(asyncio.Event(), pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


async def _ask(work: Work, row: JobDesktop, command: str, seconds: float) -> str:
    """What was wrong, in words; "" when nothing was."""
    guest = work.host(row).guest(row.name)
    try:
        result = await work.in_guest(row, guest.run_command, command, seconds)
    except errors.GuestUnreachable as error:
        return f"had no answer: {error}"
    if result.status == 0:
        return ""
    return f"ended with {result.status}: {result.output.strip()[-_MOST_WORDS:]}"


@lru_cache(maxsize=32)
def _probe_of(document: str) -> str:
    return parse_job(document).probe


async def try_image(work: Work, row: JobDesktop) -> None:
    """Start a finished desktop that is left off, to see whether it boots, and stop it again.

    Raises as its phases do; the desktop is then left for the undo.
    """
    row = replace(row, notes=row.notes.removesuffix(TRIAL).removesuffix("; "))  # begun before
    tried = replace(row, notes="; ".join(filter(None, (row.notes, TRIAL))))
    await work.write([tried])
    await stages.start(work, row)
    await stages.await_agent(work, row)
    await probe(work, row)
    await work.on_host(row, Kind.STOP, stages.destroy, work, row)
    await work.write([row])


def end_trial(work: Work, row: JobDesktop) -> str:
    """Stop a desktop that was being tried when the service or the job ended."""
    return stages.destroy(work, row) if row.notes.endswith(TRIAL) else ""
