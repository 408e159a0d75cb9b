"""Scheduled updates: kept until their time, then carried out as a Patch job.

The records alone say what waits. One thread sleeps until the next is due and is woken when that
may have changed; a service that was down at the time catches up when it starts. The job has the
guid that was given at scheduling, so an update that is begun twice is begun once.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.audit import ASKED, DONE
from openrdms.model.job import JobAction
from openrdms.model.patch import Patch, PatchState, as_patch, state_of_job
from openrdms.security.audit_log import AuditLog
from openrdms.services.provisioning import Provisioning

_BEGIN = "begin scheduled update"
"""What the audit log calls it; nobody asked but the clock."""

_PAUSE = 5.0
"""Seconds until the records are tried again that could not be read or written."""

_log = structlog.get_logger(__name__)


class Patching:
    """SchedulePatch, CancelPatch, GetPatchProperties. Safe from any thread."""

    def __init__(
        self,
        store: ports.Store,
        provisioning: Provisioning,
        audit_log: AuditLog,
        clock: ports.Clock,
    ) -> None:
        self._store = store
        self._provisioning = provisioning
        self._audit_log = audit_log
        self._clock = clock
        self._changed = threading.Event()
        self._closed = False
        # A daemon: the service ends whatever is waited for.
        self._thread = threading.Thread(target=self._work, name="patches", daemon=True)

    def start(self) -> None:
        """Begin to wait, and with what became due meanwhile. Call it after Provisioning.resume."""
        self._thread.start()

    def close(self) -> None:
        """Begin nothing more; returns when nothing is being begun."""
        self._closed = True
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

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
        begin = _point("StartTime", start)
        force = _point("ForceLogOffTime", force_log_off)
        if force < begin:
            raise errors.InvalidParameter("ForceLogOffTime", "is before StartTime")
        now = self._clock()
        job = self._provisioning.make_job(document, now)
        if job.action is not JobAction.PATCH:
            raise errors.InvalidParameter("Action", f"{job.action} cannot be scheduled, only Patch")
        if job.collection.casefold() != collection.casefold():
            raise errors.InvalidParameter("Name", f"{job.collection!r} is another collection")
        requested = int(job.options["requested"])
        patch = Patch(job.collection, job.guid, begin, force, document, requested, now)
        self._store.schedule_patch(patch)
        self._changed.set()

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
            return as_patch(max(executed, key=lambda job: job.started))
        job = self._store.find_job(patch.guid) if patch else None
        return replace(patch, state=state_of_job(job)) if patch and job else patch

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
        while not self._closed and (patch := self._store.next_patch()):
            seconds = (patch.start - self._clock()).total_seconds()
            if seconds > 0:
                return min(seconds, threading.TIMEOUT_MAX)
            self._begin(patch)
        return None

    def _begin(self, patch: Patch) -> None:
        on, job = {"Alias": patch.collection}, {"JobGuid": patch.guid}
        asked = self._audit_log.record("", "", _BEGIN, on, job, result=ASKED)
        result = DONE
        try:
            self._provisioning.execute_patch(patch)
        except errors.HostUnavailable:
            raise
        except errors.RdmsError as error:
            self._store.fail_patch(patch.guid, str(error), self._clock())
            result = f"{error.code:#010x}"
        self._audit_log.record("", "", _BEGIN, on, job, result=result, of=asked)


def _point(field: str, value: datetime | timedelta) -> datetime:
    if not isinstance(value, datetime):
        raise errors.InvalidParameter(field, "is an interval, not a point in time")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise errors.InvalidParameter(field, "is beyond the years 1 to 9999 in UTC") from error
