"""Users are told 15, 5 and 1 minutes before an update logs them off.

Which notices were sent is on record with the job, so that a service that starts again sends no
more than the latest that is due, with the minutes that are really left.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from openrdms import ports
from openrdms.model.job import Job, JobAction, VmStatus
from openrdms.model.patch import force_time
from openrdms.model.rollout import Notice, due_notice, next_notice
from openrdms.services.sessions import Sessions

NOTIFIED = "notified"
"""Option of a job: the last notice that was sent."""

TITLE = "Update of this desktop"

_UNTIL_PLANNED = timedelta(seconds=0.5)
"""After which a job that has just begun is looked at again."""

_PAUSE = 5.0
"""Seconds until the records are tried again that could not be read or written."""

_log = structlog.get_logger(__name__)


class UpdateNotices:
    """One thread that sleeps until the next notice of any update is due. Safe from any thread."""

    def __init__(
        self,
        store: ports.Store,
        sessions: Sessions,
        clock: ports.Clock,
        holds_duty: Callable[[], bool],
    ) -> None:
        """``holds_duty``: whether this service is the one that sends them."""
        self._holds_duty = holds_duty
        self._store = store
        self._sessions = sessions
        self._clock = clock
        self._changed = threading.Event()
        self._closed = False
        # A daemon: the service ends whatever is waited for.
        self._thread = threading.Thread(target=self._work, name="notices", daemon=True)

    def start(self) -> None:
        """Begin, with what became due meanwhile."""
        self._thread.start()

    def look(self) -> None:
        """An update has begun."""
        self._changed.set()

    def close(self) -> None:
        """Send nothing more; returns when nothing is being sent."""
        self._closed = True
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        while not self._closed:
            self._changed.clear()
            try:
                wait = self._send_due()
            except Exception as error:  # noqa: BLE001  whatever went wrong, the next one is due
                _log.warning("cannot send notices yet", reason=repr(error))
                wait = _PAUSE
            self._changed.wait(wait)

    def _send_due(self) -> float | None:
        """Send what is due; returns the seconds until the next, None when there is none."""
        nexts: list[datetime] = []
        if not self._holds_duty():
            return None
        for job in self._store.list_jobs(running=True):
            force = force_time(job)
            if job.action is not JobAction.PATCH or force is None or job.cancel_requested:
                continue
            sent = job.options.get(NOTIFIED)
            notice = due_notice(force, self._clock(), None if sent is None else int(sent))
            if notice and not self._send(job, notice):
                nexts.append(self._clock() + _UNTIL_PLANNED)
            elif (at := next_notice(force, self._clock())) is not None:
                nexts.append(at)
        if not nexts:
            return None
        seconds = (min(nexts) - self._clock()).total_seconds()
        return max(0.0, min(seconds, threading.TIMEOUT_MAX))

    def _send(self, job: Job, notice: Notice) -> bool:
        """To the sessions on all desktops that the job has not begun with, whatever their wave.

        False while it has no plan. On record only afterwards: one that is sent twice is better
        than one that is not.
        """
        rows = self._store.list_job_desktops(job.guid)
        if not rows:
            return False
        left = {row.name.casefold() for row in rows if row.status is VmStatus.PENDING}
        sessions = self._sessions.list(collection=job.collection)
        concerned = [session for session in sessions if session.vm.casefold() in left]
        for session, error in self._sessions.send_messages(concerned, TITLE, _say(notice.minutes)):
            if error:
                _log.warning("a notice was not shown", desktop=session.vm, reason=str(error))
        self._store.put_job_option(job.guid, NOTIFIED, notice.due)
        return True


def _say(minutes: int) -> str:
    time = "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"Please save your work. You will be logged off in {time}: this desktop is made anew."
