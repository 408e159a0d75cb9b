"""Operations that take time, so made that a caller's death leaves what it leaves on a real host.

An operation is first recorded as under way until a moment, then waited for, then its effect is
written as the record goes. A record whose caller has died is settled by whoever looks next:
done, not done or half done. Draws hang on what is attempted and how often it was before, nothing
else, so runs repeat whatever the concurrency.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from openrdms.adapters.simulator.clock import Callers, Clock
from openrdms.adapters.simulator.effects import News, Operation, Outcome, apply
from openrdms.adapters.simulator.state import State
from openrdms.adapters.simulator.uri import Settings
from openrdms.model.errors import HostUnavailable, OperationFailed

FALLIBLE = frozenset({"clone", "start", "export", "save", "restore", "migrate"})
"""What draws failures. Taking away always works, so that whatever failed can be undone."""

_PATIENCE = 2.0
"""Seconds after which a host ends an operation without its caller, who was paused."""

_SLOW = 10
"""How many times as long as others a slow host takes."""


@dataclass(frozen=True)
class Task:
    """An operation that was asked for: its kind, how long it takes and its arguments."""

    kind: str
    latency_ms: int
    args: Mapping[str, object]


_TAKE_SLOT = """
    INSERT INTO operations SELECT :host, :vm, :kind, :attempt, :seed, :args, :caller, :latency
        + max(:now, coalesce((SELECT ends FROM operations WHERE host = :host
                              ORDER BY ends DESC LIMIT 1 OFFSET :slots - 1), 0))
    RETURNING ends"""
"""In the slot of the host that is free first: first come, first served, whichever process asks.

The ``slots`` latest ends are when the slots become free, because every operation was given the slot
that was free first.
"""

_OTHERS = """
    SELECT name, fault FROM hosts WHERE fault <> ''
    UNION ALL SELECT NULL, caller FROM operations WHERE caller <> ?"""
"""Faults of hosts, and under no name operations of other processes."""

Plan = Callable[[sqlite3.Connection], Task | None]
"""Checks the request inside a transaction; what is to be done, or None: already so."""


class Operations:
    """All that happens in one cluster on behalf of this process; ``tell`` is told of it."""

    def __init__(
        self,
        state: State,
        settings: Settings,
        clock: Clock,
        callers: Callers,
        tell: Callable[[News], None],
        check: Callable[[], None],
    ) -> None:
        self._state = state
        self._settings = settings
        self._clock = clock
        self._callers = callers
        self._tell = tell
        self.check = check
        """Whether this process may change something; asked in the transaction that does."""
        self._seen = -1
        self._faults: dict[str, str] = {}
        self._others_at_work = True

    @contextmanager
    def transaction(self, host: str) -> Iterator[sqlite3.Connection]:
        """The truth as it is now, the dead callers' operations settled. HostUnavailable."""
        with self._state.transaction() as db:
            news = self._catch_up(db)
            self._require_up(host)
            yield db
        if news:
            self._tell(news)

    @contextmanager
    def reading(self, host: str) -> Iterator[sqlite3.Connection]:
        """As ``transaction``, for who writes nothing; see ``State.reading``. HostUnavailable."""
        with self._state.reading() as db:
            self._look_for_others(db)
            if not self._others_at_work:
                self._require_up(host)
                yield db
                return
        with self.transaction(host) as db:
            yield db

    def _require_up(self, host: str) -> None:
        if self._faults.get(host) == "down":
            raise HostUnavailable(f"{host} is down")

    def _catch_up(self, db: sqlite3.Connection) -> News:
        self._look_for_others(db)
        if not self._others_at_work:
            return []
        self._others_at_work, news = settle(db, self._callers)
        return news

    def _look_for_others(self, db: sqlite3.Connection) -> None:
        """What they wrote since; most often nothing, and one look at a counter says so."""
        (version,) = db.execute("PRAGMA data_version").fetchone()
        if version == self._seen:
            return
        rows = db.execute(_OTHERS, (self._callers.me,)).fetchall()
        self._faults = {row["name"]: row["fault"] for row in rows if row["name"]}
        self._others_at_work = len(rows) > len(self._faults)
        self._seen = version

    @contextmanager
    def at_rest(self, host: str, vm: str) -> Iterator[sqlite3.Connection]:
        """As ``transaction``, once no operation on that VM is under way."""
        while True:
            with self.transaction(host) as db:
                operation = db.execute(
                    "SELECT * FROM operations WHERE host = ? AND vm = ?", (host, vm)
                ).fetchone()
                if operation is None:
                    self.check()
                    yield db
                    return
                late = self._clock.now() - operation["ends"]
                overdue = late > _PATIENCE
                news = _finish(db, operation, self._draw_outcome(operation)) if overdue else []
            self._tell(news)
            # The other caller writes its effect a moment after the end of the wait.
            self._clock.sleep(max(0.001, -late))

    def run(self, host: str, vm: str, plan: Plan) -> bool:
        """Carry out what ``plan`` asks for and tell of it; False when it was not needed.

        OperationFailed by the draw, and whatever ``plan`` raises.
        """
        with self.at_rest(host, vm) as db:
            task = plan(db)
            if task is None:
                return False
            operation = self._begin(db, host, vm, task)
        self._clock.sleep(max(0.0, operation["ends"] - self._clock.now()))
        with self._state.transaction() as db:
            outcome = self._draw_outcome(operation)
            news = _finish(db, operation, outcome)
        self._tell(news)
        if outcome is not Outcome.DONE:
            raise OperationFailed(f"{task.kind} of {vm} on {host} failed (simulated)")
        return True

    def _begin(self, db: sqlite3.Connection, host: str, vm: str, task: Task) -> Operation:
        (attempt,) = db.execute(
            """INSERT INTO attempts (host, vm, kind, count) VALUES (?, ?, ?, 1)
               ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count""",
            (host, vm, task.kind),
        ).fetchone()
        latency = task.latency_ms / 1000 * (_SLOW if self._faults.get(host) == "slow" else 1)
        operation = {
            "host": host,
            "vm": vm,
            "kind": task.kind,
            "attempt": attempt,
            "seed": str(self._settings.seed),
            "args": json.dumps(task.args),
            "caller": self._callers.me,
        }
        times = {"now": self._clock.now(), "slots": self._settings.slots, "latency": latency}
        (ends,) = db.execute(_TAKE_SLOT, operation | times).fetchone()
        return operation | {"ends": ends}

    def _draw_outcome(self, operation: Operation | sqlite3.Row) -> Outcome:
        kind = operation["kind"]
        if kind not in FALLIBLE or draw(operation, "fail") >= self._settings.fail:
            return Outcome.DONE
        # A clone that fails may leave what it had copied, as a full file system does.
        half = kind == "clone" and draw(operation, "half") < 1 / 2
        return Outcome.HALF_DONE if half else Outcome.NOT_DONE


def settle(db: sqlite3.Connection, callers: Callers) -> tuple[bool, News]:
    """Decide the operations of callers that have died; the same whoever looks, and when.

    True when others had operations under way, dead or not.
    """
    news: News = []
    others = db.execute(
        "SELECT DISTINCT caller FROM operations WHERE caller <> ?", (callers.me,)
    ).fetchall()
    for (caller,) in others:
        if callers.alive(caller):
            continue
        orphans = db.execute("SELECT * FROM operations WHERE caller = ?", (caller,))
        for operation in orphans.fetchall():
            outcome = tuple(Outcome)[int(draw(operation, "death") * len(Outcome))]
            news += _finish(db, operation, outcome)
    return bool(others), news


def draw(operation: Operation, purpose: str) -> float:
    """A number in [0, 1) that follows from seed, host, VM, operation and attempt."""
    what = (operation[name] for name in ("seed", "host", "vm", "kind", "attempt"))
    text = "|".join([*(str(part).lower() for part in what), purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _finish(db: sqlite3.Connection, operation: Operation, outcome: Outcome) -> News:
    """Unless somebody else has found it overdue meanwhile, and did so."""
    which = tuple(operation[name] for name in ("host", "vm", "kind", "attempt"))
    ended = db.execute(
        "DELETE FROM operations WHERE host = ? AND vm = ? AND kind = ? AND attempt = ?", which
    )
    if not ended.rowcount:
        return []
    if outcome is Outcome.DONE:
        db.execute(
            "UPDATE attempts SET done = done + 1 WHERE host = ? AND vm = ? AND kind = ?", which[:3]
        )
    return apply(db, operation, outcome)
