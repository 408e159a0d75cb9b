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

from openrdms.adapters.simulator.clock import Callers, Clock
from openrdms.adapters.simulator.effects import Outcome, apply
from openrdms.adapters.simulator.state import State
from openrdms.adapters.simulator.uri import Settings
from openrdms.model.errors import HostUnavailable, OperationFailed

FALLIBLE = frozenset({"clone", "start", "export", "save", "restore"})
"""What draws failures. Taking away always works, so that whatever failed can be undone."""

Plan = Callable[[sqlite3.Connection], Mapping[str, object] | None]
"""Checks the request inside a transaction; the operation's arguments, or None: already so."""


class Operations:
    """All that happens in one cluster on behalf of this process."""

    def __init__(self, state: State, settings: Settings, clock: Clock, callers: Callers) -> None:
        self._state = state
        self._settings = settings
        self._clock = clock
        self._callers = callers

    @contextmanager
    def transaction(self, host: str) -> Iterator[sqlite3.Connection]:
        """The truth as it is now, the dead callers' operations settled. HostUnavailable."""
        with self._state.transaction() as db:
            settle(db, self._callers)
            (fault,) = db.execute("SELECT fault FROM hosts WHERE name = ?", (host,)).fetchone()
            if fault:
                raise HostUnavailable(f"{host} is {fault}")
            yield db

    @contextmanager
    def at_rest(self, host: str, vm: str) -> Iterator[sqlite3.Connection]:
        """As ``transaction``, once no operation on that VM is under way."""
        while True:
            with self.transaction(host) as db:
                ends = db.execute(
                    "SELECT ends FROM operations WHERE host = ? AND vm = ?", (host, vm)
                ).fetchone()
                if ends is None:
                    yield db
                    return
            # The other caller writes its effect a moment after the end of the wait.
            self._clock.sleep(max(0.001, ends[0] - self._clock.now()))

    def run(self, host: str, vm: str, kind: str, latency_ms: int, plan: Plan) -> sqlite3.Row | None:
        """Carry out one operation and return its record, None when it was not needed.

        OperationFailed by the draw, and whatever ``plan`` raises.
        """
        with self.at_rest(host, vm) as db:
            args = plan(db)
            if args is None:
                return None
            operation = self._begin(db, host, vm, kind, latency_ms, args)
        self._clock.sleep(max(0.0, operation["ends"] - self._clock.now()))
        with self._state.transaction() as db:
            outcome = self._draw_outcome(operation)
            _finish(db, operation, outcome)
        if outcome is not Outcome.DONE:
            raise OperationFailed(f"{kind} of {vm} on {host} failed (simulated)")
        return operation

    def _begin(
        self,
        db: sqlite3.Connection,
        host: str,
        vm: str,
        kind: str,
        latency_ms: int,
        args: Mapping[str, object],
    ) -> sqlite3.Row:
        (attempt,) = db.execute(
            """INSERT INTO attempts VALUES (?, ?, ?, 1)
               ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count""",
            (host, vm, kind),
        ).fetchone()
        ends = self._free_slot(db, host) + latency_ms / 1000
        row: sqlite3.Row = db.execute(
            "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
            (
                host,
                vm,
                kind,
                attempt,
                str(self._settings.seed),
                json.dumps(args),
                self._callers.me,
                ends,
            ),
        ).fetchone()
        return row

    def _free_slot(self, db: sqlite3.Connection, host: str) -> float:
        """When a slot of the host is free: first come, first served, whichever process asks.

        The ``slots`` latest ends are when the slots become free, because every operation was
        given the slot that was free first.
        """
        taken = db.execute(
            "SELECT ends FROM operations WHERE host = ? ORDER BY ends DESC LIMIT ?",
            (host, self._settings.slots),
        ).fetchall()
        free = taken[-1][0] if len(taken) == self._settings.slots else 0.0
        return max(self._clock.now(), free)

    def _draw_outcome(self, operation: sqlite3.Row) -> Outcome:
        kind = operation["kind"]
        if kind not in FALLIBLE or draw(operation, "fail") >= self._settings.fail:
            return Outcome.DONE
        # A clone that fails may leave what it had copied, as a full file system does.
        half = kind == "clone" and draw(operation, "half") < 1 / 2
        return Outcome.HALF_DONE if half else Outcome.NOT_DONE


def settle(db: sqlite3.Connection, callers: Callers) -> None:
    """Decide the operations of callers that have died; the same whoever looks, and when."""
    others = db.execute("SELECT DISTINCT caller FROM operations WHERE caller <> ?", (callers.me,))
    for (caller,) in others.fetchall():
        if callers.alive(caller):
            continue
        orphans = db.execute("SELECT * FROM operations WHERE caller = ?", (caller,))
        for operation in orphans.fetchall():
            _finish(db, operation, tuple(Outcome)[int(draw(operation, "death") * len(Outcome))])


def draw(operation: sqlite3.Row, purpose: str) -> float:
    """A number in [0, 1) that follows from seed, host, VM, operation and attempt."""
    what = (operation[name] for name in ("seed", "host", "vm", "kind", "attempt"))
    text = "|".join([*(str(part).lower() for part in what), purpose])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _finish(db: sqlite3.Connection, operation: sqlite3.Row, outcome: Outcome) -> None:
    where = (operation["host"], operation["vm"])
    db.execute("DELETE FROM operations WHERE host = ? AND vm = ?", where)
    apply(db, operation, outcome)
