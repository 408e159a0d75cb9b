from __future__ import annotations

import sqlite3
import threading

import pytest

from openrdms.jobs import lookout
from openrdms.jobs.lookout import Lookout


@pytest.fixture(autouse=True)
def endless_calm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "CALM_SECONDS", 600.0)


def connect(looking: Lookout, thread: str, rounds: int = 1) -> threading.Event:
    """Have a thread of that name ask for connections; set when it has got them."""
    pool = looking.pool(lambda: sqlite3.connect(":memory:", check_same_thread=False))
    done = threading.Event()

    def ask() -> None:
        for _ in range(rounds):
            pool.connect().close()
        done.set()

    threading.Thread(target=ask, name=thread, daemon=True).start()
    return done


LOOKING = ("Thread-5 (queue_thread)", "queue-worker-_dbos_internal_queue", "dbos-background-jobs")


@pytest.mark.parametrize("thread", LOOKING)
def test_who_looks_for_work_waits_until_there_may_be_some(thread: str) -> None:
    looking = Lookout()
    done = connect(looking, thread)
    assert not done.wait(0.05)
    looking.alert()
    assert done.wait(60)
    assert connect(looking, thread).wait(60)  # for some time


def test_who_looks_for_work_waits_once_in_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "_ROUND_SECONDS", 600.0)
    looking = Lookout()
    answers = iter([True])  # asked again it would be an error, which the thread does not survive
    monkeypatch.setattr(looking, "_is_alert", lambda: next(answers))
    assert connect(looking, LOOKING[0], rounds=3).wait(60)


def test_nobody_else_waits() -> None:
    assert connect(Lookout(), "dbos-executor-_0").wait(60)
