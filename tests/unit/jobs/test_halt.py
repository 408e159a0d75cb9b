from __future__ import annotations

from openrdms.jobs.halt import Halt


def test_who_listens_is_told_once() -> None:
    halt, told = Halt(), []
    with halt.telling(lambda: told.append(1)):
        halt.set()
        halt.set()
    assert told == [1]


def test_who_has_stopped_listening_is_not_told() -> None:
    halt, told = Halt(), []
    with halt.telling(lambda: told.append(1)):
        pass
    halt.set()
    assert (told, halt.is_set()) == ([], True)
