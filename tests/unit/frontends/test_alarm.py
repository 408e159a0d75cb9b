"""The clock over calls that take too long."""

from __future__ import annotations

import time

from openrdms.frontends.http.alarm import Alarm

SECONDS = 0.1


def test_it_goes_off_once_after_it_was_last_set() -> None:
    alarm = Alarm(SECONDS)
    for _ in range(3):
        alarm.set()
        time.sleep(SECONDS / 4)
    last = time.monotonic()
    alarm.set()
    alarm.wait()
    assert time.monotonic() - last >= SECONDS
    alarm.close()


def test_one_that_is_set_again_when_it_has_gone_off_is_waited_for() -> None:
    alarm = Alarm(SECONDS)
    alarm.set()
    time.sleep(2 * SECONDS)
    last = time.monotonic()
    alarm.set()
    alarm.wait()
    assert time.monotonic() - last >= SECONDS
    alarm.close()
