"""What those wait for that an update in waves has not begun with, for how long and behind whom."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.provisioning.estimates import expect_wave
from openrdms.services.provisioning.work import Work


@dataclass(frozen=True)
class WaveNow:
    """How far a wave is, by ordinals. ``number`` counts from 1.

    As many are in work as may be, ``most``: those ``under_way``, for ``age`` seconds now, and so
    many that are ``finished`` and handed out with them. As many of the ``line`` are next. The
    ``others`` wait for something else, and ``later`` are the waves after this one. ``away`` says
    what cannot be reached, "" if nothing.
    """

    number: int
    since: datetime
    most: int
    under_way: Sequence[int]
    finished: int
    age: float
    line: Sequence[int]
    others: Mapping[int, Wait]
    later: Sequence[Sequence[int]]
    away: str = ""


def tell_wave(work: Work, wave: WaveNow) -> list[tuple[int, Wait]]:
    """What they wait for; in later waves behind all that wait in this one."""
    copying = work.copies_left()
    if copying:  # nobody has begun with anything
        wave = replace(wave, age=-copying)
    rows = [work.rows[ordinal] for ordinal in (*wave.under_way, *wave.line, *wave.others)]
    _, each = expect_wave(work.tools, work.job, rows, wave.most)
    if copying is None:
        each = None
    told = [*wave.others.items(), *_tell_line(wave, each)]
    words = f"waits until wave {wave.number} is done and good{wave.away}"
    left = _left(wave, each)
    for ordinals in wave.later:
        for ordinal in ordinals:
            position = len(told) + 1
            wait = Wait(ReasonCode.EARLIER_WAVE, words, wave.since, position, left)
            told.append((ordinal, wait))
        rows = [work.rows[ordinal] for ordinal in ordinals]
        rounds, each = expect_wave(work.tools, work.job, rows, wave.most)
        left = None if left is None or each is None else left + rounds * each
    return told


def _tell_line(wave: WaveNow, each: float | None) -> Iterable[tuple[int, Wait]]:
    words = f"as many desktops as may be are being updated{wave.away}"
    for position, ordinal in enumerate(wave.line, 1):
        seconds = _rest(wave, max(1, _rounds(wave, position) - 1), each)
        yield (
            ordinal,
            Wait(ReasonCode.TOO_MANY_UNAVAILABLE, words, wave.since, position, seconds),
        )


def _rounds(wave: WaveNow, position: int) -> int:
    """The round in which it is that one's turn; the first one has begun."""
    return math.ceil((len(wave.under_way) + wave.finished + position) / wave.most)


def _rest(wave: WaveNow, rounds: int, each: float | None) -> float | None:
    """Seconds until so many rounds are over."""
    return None if each is None else max(0.0, rounds * each - wave.age)


def _left(wave: WaveNow, each: float | None) -> float | None:
    """Seconds until the wave is done. Hosts that are away do not keep it from that, users do."""
    left = _rest(wave, _rounds(wave, len(wave.line)), each)
    for wait in wave.others.values():
        if wait.code is ReasonCode.USER_LOGGED_ON:
            if wait.seconds is None or left is None or each is None:
                return None
            left = max(left, wait.seconds + each)
    return left
