"""How long a job rests when the service that carries it out is killed: until another one of three
takes the next step of it.

    benchmarks/run-takeover [RUNS]
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from fakes.random_takeovers import World, world
from live.postgresql import PostgreSql
from live.service import until
from openrdms.adapters.sql.members import SILENT_SECONDS
from openrdms.model.job import JobAction

BAR = 5.0
"""Seconds from a death to the next step."""

_DESKTOPS = 200
_RUNS = 10


def main() -> None:
    runs = int(sys.argv[1]) if sys.argv[1:] else _RUNS
    postgresql = PostgreSql(durable=True)
    with tempfile.TemporaryDirectory() as directory:
        try:
            postgresql.start()
            with world(Path(directory), postgresql, _DESKTOPS, ()) as made:
                found = [_measure(made, f"run{number}") for number in range(1, runs + 1)]
        finally:
            postgresql.clear()
    print(f"{runs} deaths of the service that carries out a job of {_DESKTOPS} desktops")
    print("seconds until the next step:", " ".join(f"{seconds:.2f}" for seconds in found))
    print(f"median {statistics.median(found):.2f}, most {max(found):.2f}; bar {BAR:g}")
    sys.exit(max(found) > BAR)


def _measure(made: World, alias: str) -> float:
    """Of one job, which then ends as asked."""
    made.create_collection(alias)
    guid = made.execute(alias, JobAction.CREATE)
    until("it is under way", lambda: _steps(made, alias) > _DESKTOPS / 10)
    owner = made.services.owner(guid)
    assert owner is not None
    owner.kill()
    died = time.monotonic()
    until("another one has it", lambda: made.services.owner(guid), pause=0.01)
    before = _steps(made, alias)
    until("it takes a step", lambda: _steps(made, alias) > before, pause=0.01)
    rested = time.monotonic() - died
    made.await_end(guid)
    made.services.start_again(owner)
    time.sleep(SILENT_SECONDS)  # until all may judge again
    return rested


def _steps(made: World, alias: str) -> int:
    file = made.services.simulator / "state.sqlite"
    with closing(sqlite3.connect(file, timeout=30)) as truth:
        query = "SELECT coalesce(sum(count), 0) FROM attempts WHERE vm LIKE ?"
        return int(truth.execute(query, (f"{alias}-%",)).fetchone()[0])


if __name__ == "__main__":
    main()
