"""What one service asks another one of a job, and what it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.reason import ReasonCode, Wait
from openrdms.services.provisioning import questions
from openrdms.services.provisioning.questions import Questions, Told

ASKER, RUNNER = "a" * 16, "b" * 16
GUID = "{00000000-0000-0000-0000-000000000001}"
NOW = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
WORDS = "waits until others on höst1 are done"
SOME = Told(
    {
        0: Wait(ReasonCode.HOST_BUSY, WORDS, NOW, 1, 2.5),
        7: Wait(ReasonCode.HOST_AWAY, "it is away", NOW),
    },
    NOW + timedelta(hours=1),
)


class Wire:
    """Carries notices between two services, as the records do; ``tell`` is what the runner says."""

    def __init__(self) -> None:
        self.asker, self.runner = Questions(self, ASKER), Questions(self, RUNNER)
        self.told: Told | None = SOME
        self.carried: list[tuple[Kind, str]] = []
        self.is_cut = False

    def tell_others(self, kind: Kind, keys: Sequence[str]) -> None:
        """Hand them over, the parts of an answer in any order."""
        self.carried += [(kind, key) for key in keys]
        if self.is_cut:
            return
        if kind is Kind.QUESTION:
            answering = threading.Thread(target=self.runner.answer, args=(keys, self.tell))
            answering.start()
            answering.join()
        else:
            for key in reversed(keys):
                self.asker.hear([key])

    def tell(self, guid: str) -> Told | None:
        """Of the one job."""
        assert guid == GUID
        return self.told

    def subscribe(self, listener: object) -> None:
        """Nobody does."""

    def listen(self, listener: object, missed: object) -> None:
        """Nobody does."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "_PATIENCE", 0.05)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_it_is_told_what_the_runner_knows(wire: Wire) -> None:
    assert wire.asker.ask(RUNNER, GUID) == SOME
    wire.told = Told({}, None)
    assert wire.asker.ask(RUNNER, GUID) == Told({}, None)


def test_the_runner_may_have_ended_it_meanwhile(wire: Wire) -> None:
    wire.told = None
    assert wire.asker.ask(RUNNER, GUID) is None
    wire.told = SOME
    assert wire.asker.ask(RUNNER, GUID) == SOME


def test_an_answer_of_many_desktops_comes_in_parts(wire: Wire) -> None:
    waits = {
        ordinal: Wait(ReasonCode.HOST_BUSY, f"{WORDS} {ordinal % 100}", NOW, ordinal, ordinal / 7)
        for ordinal in range(20_000)
    }
    wire.told = Told(waits, None)
    assert wire.asker.ask(RUNNER, GUID) == wire.told
    answers = [key for kind, key in wire.carried if kind is Kind.ANSWER]
    assert len(answers) > 1
    assert max(map(len, answers)) <= 6900


def test_a_question_for_another_service_is_none_for_this_one(wire: Wire) -> None:
    assert wire.asker.ask("c" * 16, GUID) is None
    assert [kind for kind, _ in wire.carried] == [Kind.QUESTION]


def test_who_is_silent_is_not_waited_for_again_for_a_while(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire.is_cut = True
    assert wire.asker.ask(RUNNER, GUID) is None
    wire.is_cut = False
    assert wire.asker.ask(RUNNER, GUID) is None
    assert len(wire.carried) == 1
    now = time.monotonic() + 60
    monkeypatch.setattr(questions.time, "monotonic", lambda: now)
    assert wire.asker.ask(RUNNER, GUID) == SOME


def test_a_late_answer_and_one_to_others_are_heard_by_nobody(wire: Wire) -> None:
    wire.asker.hear(["0123456789abcdef 0 1 eNo="])
    assert wire.asker.ask(RUNNER, GUID) == SOME


def test_an_answer_that_is_not_understood_is_none(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render_newer(one: tuple[int, Wait]) -> list[object]:
        return [one[0], "OfANewerVersion", "", NOW.isoformat(), None, None]

    monkeypatch.setattr(questions, "_render_wait", render_newer)
    assert wire.asker.ask(RUNNER, GUID) is None


def test_while_the_records_are_away_it_says_so(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(kind: Kind, keys: Sequence[str]) -> None:
        raise errors.RecordsUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(wire, "tell_others", fail)
        with pytest.raises(errors.RecordsUnavailable):
            wire.asker.ask(RUNNER, GUID)
    assert wire.asker.ask(RUNNER, GUID) == SOME
