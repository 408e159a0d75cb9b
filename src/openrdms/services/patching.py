"""Scheduled updates: kept until their time, then carried out as a Patch job.

The records alone say what waits. One thread sleeps until the next is due and is woken when that
may have changed; a service that was down at the time catches up when it starts. The job has the
guid that was given at scheduling, so an update that is begun twice is begun once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.audit import ASKED, DONE
from openrdms.model.job import Job, JobAction
from openrdms.model.patch import NEVER, Patch, PatchState, as_patch, state_of_job
from openrdms.model.plan import Plan, refuse
from openrdms.security.audit_log import AuditLog
from openrdms.services.provisioning import Provisioning
from openrdms.services.sessions import Sessions
from openrdms.services.update_notices import UpdateNotices

_BEGIN = "begin scheduled update"
"""What the audit log calls it; nobody asked but the clock."""

_PAUSE, _LONGEST_PAUSE = 5.0, 300.0
"""Seconds until what could not be done is tried again; twice as long each time."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Attempt:
    """An update that could not begin yet: its record in the audit log, and when it is tried again
    by the monotonic clock, ``pause`` seconds after the last time.
    """

    asked: int
    pause: float = 0.0
    again: float = 0.0


class Patching:
    """SchedulePatch, CancelPatch, GetPatchProperties. Safe from any thread."""

    def __init__(
        self,
        store: ports.Store,
        provisioning: Provisioning,
        audit_log: AuditLog,
        sessions: Sessions,
        clock: ports.Clock,
        holds_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        """``holds_duty``: whether this service is the one that begins updates."""
        self._store = store
        self._provisioning = provisioning
        self._audit_log = audit_log
        self._clock = clock
        self._holds_duty = holds_duty
        self._notices = UpdateNotices(store, sessions, clock, holds_duty)
        self._attempts: dict[str, _Attempt] = {}
        self._changed = threading.Event()
        self._closed = False
        # A daemon: the service ends whatever is waited for.
        self._thread = threading.Thread(target=self._work, name="patches", daemon=True)

    def start(self) -> None:
        """Begin to wait, and with what became due meanwhile. Call it after Provisioning.resume."""
        self._thread.start()
        self._notices.start()

    def close(self) -> None:
        """Begin nothing more; returns when nothing is being begun."""
        self._closed = True
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()
        self._notices.close()

    def wake(self) -> None:
        """Another service may have scheduled something, or have died."""
        self._changed.set()
        self._notices.look()

    def schedule(
        self,
        collection: str,
        start: datetime | timedelta,
        force_log_off: datetime | timedelta,
        document: str,
    ) -> None:
        """Accept an update for ``start``; a time that has passed means at once.

        The document is checked as one that is executed now would be. InvalidParameter names
        the field; NotFound; InvalidOperation when the collection is not managed, not pooled,
        or busy.
        """
        begin, force = _in_order(start, force_log_off)
        now = self._clock()
        job = self._provisioning.make_job(document, now)
        _require_patch(job, collection)
        requested = int(job.options["requested"])
        patch = Patch(job.collection, job.guid, begin, force, document, requested, now)
        self._store.schedule_patch(patch)
        self._changed.set()

    def plan(
        self,
        collection: str,
        start: datetime | timedelta,
        force_log_off: datetime | timedelta,
        document: str,
    ) -> Plan:
        """What an update would do if it began now, or why ``schedule`` would refuse it; nothing
        changes.
        """
        try:
            begin, force = _in_order(start, force_log_off)
            stay = (force - max(begin, self._clock())).total_seconds()
            plan = self._provisioning.find_plan(
                document, patient=force.year >= NEVER, stay=max(0.0, stay)
            )
            _require_patch(plan, collection)
        except errors.RdmsError as error:
            return refuse(collection, JobAction.PATCH, error)
        return plan

    def cancel(self, collection: str) -> None:
        """Take back what waits, or cancel its job while that runs; cancelled already is fine.

        InvalidOperation when nothing is scheduled or the job has ended by itself.
        """
        patch = self._store.cancel_patch(collection, self._clock())
        self._changed.set()
        if patch.state is PatchState.UPDATE_STARTED:
            self._provisioning.cancel(patch.guid)
        elif patch.state is PatchState.UPDATE_FAILED:
            raise errors.InvalidOperation(f"the update of {collection!r} has failed: {patch.error}")

    def find(self, collection: str) -> Patch | None:
        """The last update of a collection, scheduled or executed at once; None without one."""
        patch = self._store.find_patch(collection)
        executed = [
            job
            for running in (True, False)
            for job in self._store.list_jobs(running=running, collection=collection)
            if job.action is JobAction.PATCH and (patch is None or job.started > patch.modified)
        ]
        if executed:
            return as_patch(max(executed, key=lambda job: job.started), self._clock())
        job = self._store.find_job(patch.guid) if patch else None
        if patch and job:
            return replace(patch, state=state_of_job(job, self._clock()))
        return patch

    def _work(self) -> None:
        while not self._closed:
            self._changed.clear()
            try:
                wait = self._begin_due()
            except Exception as error:  # noqa: BLE001  whatever went wrong, the next update is due
                _log.warning("cannot begin an update yet", reason=repr(error))
                wait = _PAUSE
            self._changed.wait(wait)

    def _begin_due(self) -> float | None:
        """Begin what is due; returns the seconds until the next, None when none waits."""
        waits = []
        if not self._holds_duty():
            return None
        for patch in self._store.list_waiting_patches():
            if self._closed:
                break
            seconds = self._seconds_until(patch)
            if seconds <= 0:
                self._begin(patch)
                seconds = self._seconds_until(patch) if patch.guid in self._attempts else 0.0
            if seconds > 0:
                waits.append(seconds)
        return min((*waits, threading.TIMEOUT_MAX)) if waits else None

    def _seconds_until(self, patch: Patch) -> float:
        """Until it is to begin, or to be tried again."""
        attempt = self._attempts.get(patch.guid)
        if attempt:
            return attempt.again - time.monotonic()
        return (patch.start - self._clock()).total_seconds()

    def _begin(self, patch: Patch) -> None:
        """Asked for once in the audit log, however often it must be tried."""
        on, job = {"Alias": patch.collection}, {"JobGuid": patch.guid}
        attempt = self._attempts.pop(patch.guid, None)
        if attempt is None:
            attempt = _Attempt(self._audit_log.record("", "", _BEGIN, on, job, result=ASKED))
        result = DONE
        try:
            self._provisioning.execute_patch(patch)
            self._notices.look()
        except Exception as error:  # noqa: BLE001  whatever one meets, the next one is due
            if not isinstance(error, errors.RdmsError) or isinstance(error, errors.HostUnavailable):
                self._postpone(patch, attempt, error)
                return
            self._store.fail_patch(patch.guid, str(error), self._clock())
            result = f"{error.code:#010x}"
        self._audit_log.record("", "", _BEGIN, on, job, result=result, of=attempt.asked)

    def _postpone(self, patch: Patch, attempt: _Attempt, error: Exception) -> None:
        _log.warning("cannot begin an update yet", update=patch.guid, reason=repr(error))
        pause = min(max(_PAUSE, 2 * attempt.pause), _LONGEST_PAUSE)
        self._attempts[patch.guid] = _Attempt(attempt.asked, pause, time.monotonic() + pause)


def _in_order(
    start: datetime | timedelta, force_log_off: datetime | timedelta
) -> tuple[datetime, datetime]:
    begin, force = _point("StartTime", start), _point("ForceLogOffTime", force_log_off)
    if force < begin:
        raise errors.InvalidParameter("ForceLogOffTime", "is before StartTime")
    return begin, force


def _require_patch(found: Job | Plan, collection: str) -> None:
    if found.action is not JobAction.PATCH:
        raise errors.InvalidParameter("Action", f"{found.action} cannot be scheduled, only Patch")
    if found.collection.casefold() != collection.casefold():
        raise errors.InvalidParameter("Name", f"{found.collection!r} is another collection")


def _point(field: str, value: datetime | timedelta) -> datetime:
    if not isinstance(value, datetime):
        raise errors.InvalidParameter(field, "is an interval, not a point in time")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise errors.InvalidParameter(field, "is beyond the years 1 to 9999 in UTC") from error
