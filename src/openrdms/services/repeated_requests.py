"""Requests that clients may send again: each is carried out once, and answered the same.

That one was begun is on record before it is carried out, and what came of it afterwards. After a
death of the service in between nobody can know what came of it, and that is what is told.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from openrdms import ports
from openrdms.model import errors
from openrdms.model.repeated_request import KEPT, RepeatedRequest

FIELD = "Idempotency-Key"


class StillUnderWay(errors.InvalidOperation):
    """The first one of that key is being carried out."""

    reason = "StillUnderWay"
    seconds = 1


class OutcomeUnknown(errors.InvalidOperation):
    """The service died, or met a defect, while it carried out the first one of that key."""

    reason = "OutcomeUnknown"


class RepeatedRequests:
    """Safe from any thread."""

    def __init__(self, store: ports.RepeatedRequestStore, clock: ports.Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: set[tuple[str, str]] = set()

    def begin(
        self, account: str, key: str, digest: str, *, repeatable: bool
    ) -> RepeatedRequest | None:
        """What came of the request before; None when it is to be carried out now.

        ``repeatable``: one of which nothing is known may be carried out again, since it does
        no more then. InvalidParameter for the key of another request; StillUnderWay,
        OutcomeUnknown.
        """
        with self._lock:
            if (account.casefold(), key) in self._under_way:
                raise StillUnderWay("the request of that key is under way")
            self._under_way.add((account.casefold(), key))
        begun = False
        try:
            known = self._enter(account, key, digest)
            unanswered = known is not None and known.status is None
            if unanswered and not self._store.take_request(account, key):
                raise StillUnderWay("another service carries out the request of that key")
            if unanswered and not repeatable:
                raise OutcomeUnknown(
                    "nobody can say what came of the request of that key: look, and use another key"
                )
            begun = known is None or unanswered
            return None if begun else known
        finally:
            if not begun:
                self.leave(account, key)

    def _enter(self, account: str, key: str, digest: str) -> RepeatedRequest | None:
        now = self._clock()
        new = RepeatedRequest(account, key, digest, now)
        known = self._store.add_request(new, now - KEPT)
        if known and known.digest != digest:
            raise errors.InvalidParameter(FIELD, "was given to another request")
        return known

    def finish(
        self, account: str, key: str, digest: str, status: int, body: bytes | None, location: str
    ) -> None:
        """What came of it; ``body`` None is told once only."""
        done = RepeatedRequest(account, key, digest, self._clock())
        self._store.put_request(replace(done, status=status, body=body, location=location))

    def forget(self, account: str, key: str) -> None:
        """It was refused and has changed nothing: it may be sent again, and be another one."""
        self._store.drop_request(account, key)

    def leave(self, account: str, key: str) -> None:
        """It is under way no more, whatever has come of it."""
        self._under_way.discard((account.casefold(), key))
