"""When DBOS looks into its database for work that nobody has told it of.

Each of its threads for that does so once a second, and no setting says otherwise; of a service that
is idle it would be most of what it costs, and n services cost n times as much. Jobs begin without
them: they are for what was handed on by another service, which is told of. So they look once a
second for as long as there may be something, and seldom at other times.

Nothing of DBOS is changed for it. It asks its engine for a connection each time, and that of these
threads, which DBOS has given names, lets them wait; should it call them otherwise one day they look
as often as they like.
"""

from __future__ import annotations

import math
import threading
import time

import sqlalchemy as sa

ALERT_SECONDS = 30.0
"""For how long they look once a second when there may be work."""

CALM_SECONDS = 20.0
"""How often they look at other times, should nobody have known that there is work."""

_ROUND_SECONDS = 0.5
"""Within that time a thread asks for connections of the same round: it waits before the first one,
since it may hold a lock at the others.
"""

_QUEUES, _QUEUE, _TIMES = "(queue_thread)", "queue-worker-", "dbos-background-jobs"
"""Threads that look for queues, for workflows in a queue, for deadlines and delays of workflows."""


class Lookout:
    """Of one engine. Safe from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._until = 0.0
        self._rounds = threading.local()

    def alert(self) -> None:
        """There may be work: look at once, and for some time."""
        with self._changed:
            self._until = time.monotonic() + ALERT_SECONDS
            self._changed.notify_all()

    @property
    def pool(self) -> type[sa.QueuePool]:
        """The class of the engine's pool of connections."""
        wait = self._wait

        class Pool(sa.QueuePool):
            def connect(self) -> sa.PoolProxiedConnection:
                wait()
                return super().connect()

        return Pool

    def _wait(self) -> None:
        name = threading.current_thread().name
        if not (name.endswith(_QUEUES) or name.startswith(_QUEUE) or name == _TIMES):
            return
        asked: float = getattr(self._rounds, "asked", -math.inf)
        if time.monotonic() - asked > _ROUND_SECONDS:
            with self._changed:
                self._changed.wait_for(self._is_alert, CALM_SECONDS)
        self._rounds.asked = time.monotonic()

    def _is_alert(self) -> bool:
        return time.monotonic() < self._until
