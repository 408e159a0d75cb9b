"""What services ask each other of jobs: what the desktops wait for is known where the job runs.

Question and answer are notices (ports.RecordNotices): they are on no record, so nothing is left of
them, they wait for nobody who writes, and none is sent unless somebody asks.
"""

from __future__ import annotations

import base64
import json
import math
import secrets
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from openrdms import ports
from openrdms.model.change import Kind
from openrdms.model.reason import ReasonCode, Wait

_PATIENCE = 1.0
"""Seconds for an answer; the runner may be paused, or of a version that knows no questions."""

_SILENT = 5.0
"""Seconds for which a service is not asked that gave none: a page asks more than once."""

_PART = 6000
"""Characters of an answer that fit into one notice."""

_log = structlog.get_logger(__name__)


class Told(NamedTuple):
    """What desktops of a job wait for, by their ordinals, and when it will have ended, as far as
    can be told.
    """

    waits: Mapping[int, Wait]
    end: datetime | None


class _Question:
    """One that waits for its answer, which comes in parts."""

    def __init__(self) -> None:
        self.parts: dict[int, str] = {}
        self.answered = threading.Event()


class Questions:
    """Safe from any thread."""

    def __init__(self, notices: ports.RecordNotices, me: str) -> None:
        """``me`` is the id of this service."""
        self._notices = notices
        self._me = me
        self._lock = threading.Lock()
        self._asked: dict[str, _Question] = {}
        self._silent_until: dict[str, float] = {}

    def ask(self, runner: str, guid: str) -> Told | None:
        """What the service with that id tells of a job; within a second or so, None when nothing.

        RecordsUnavailable.
        """
        if time.monotonic() < self._silent_until.get(runner, -math.inf):
            return None
        name, question = secrets.token_hex(8), _Question()
        with self._lock:
            self._asked[name] = question
        try:
            self._notices.tell_others(Kind.QUESTION, [f"{name} {runner} {guid}"])
            is_answered = question.answered.wait(_PATIENCE)
        finally:
            with self._lock:
                del self._asked[name]
        if not is_answered:
            self._silent_until[runner] = time.monotonic() + _SILENT
            return None
        return _parse(question.parts)

    def hear(self, answers: Sequence[str]) -> None:
        """Parts of answers, to this service or to others. It is quick."""
        for answer in answers:
            name, number, count, text = answer.split(" ")
            with self._lock:
                question = self._asked.get(name)
                if question is not None:
                    question.parts[int(number)] = text
                    if len(question.parts) == int(count):
                        question.answered.set()

    def answer(self, questions: Sequence[str], tell: Callable[[str], Told | None]) -> None:
        """Those that are for this service: what ``tell`` says of the job with that GUID, None of
        one that does not run here. Raises what ``tell`` does, and RecordsUnavailable.
        """
        for question in questions:
            name, runner, guid = question.split(" ")
            if runner == self._me:
                text = _render(tell(guid))
                parts = [text[at : at + _PART] for at in range(0, len(text), _PART)]
                keys = [f"{name} {at} {len(parts)} {part}" for at, part in enumerate(parts)]
                self._notices.tell_others(Kind.ANSWER, keys)


def _render(told: Told | None) -> str:
    """As text without spaces: of thousands of waits most words are the same."""
    plain = told and (told.end and told.end.isoformat(), [*map(_render_wait, told.waits.items())])
    return base64.b64encode(zlib.compress(json.dumps(plain).encode())).decode()


def _render_wait(one: tuple[int, Wait]) -> list[object]:
    ordinal, wait = one
    since = wait.since.isoformat()
    return [ordinal, wait.code, wait.words, since, wait.position, wait.seconds]


def _parse(parts: Mapping[int, str]) -> Told | None:
    """None, too, for what a newer version says and this one does not understand."""
    try:
        text = zlib.decompress(base64.b64decode("".join(parts[at] for at in range(len(parts)))))
        plain = json.loads(text)
        if plain is None:
            return None
        end, waits = plain
        return Told(
            {
                ordinal: Wait(ReasonCode(code), words, datetime.fromisoformat(since), *rest)
                for ordinal, code, words, since, *rest in waits
            },
            end and datetime.fromisoformat(end),
        )
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        _log.warning("the answer of another service was not understood", reason=str(error))
        return None
