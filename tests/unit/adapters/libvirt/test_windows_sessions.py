"""Windows sessions from output that others published (sources beside the samples)."""

from __future__ import annotations

import base64
import ntpath
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.adapters.libvirt.guest_exec import Deadline, GuestCommands
from openrdms.adapters.libvirt.guest_windows import WindowsGuest
from openrdms.adapters.libvirt.windows_sessions import parse_sessions, read_idle, read_logons
from openrdms.model.errors import OperationFailed
from openrdms.model.host import VmState

GUESTS = Path(__file__).parents[3] / "data" / "guests"


def read(name: str) -> str:
    return (GUESTS / f"windows-{name}.txt").read_text()


def test_german_console_session_with_its_logon_time() -> None:
    (leo,) = parse_sessions(read("de-query-session"), read("de-query-user"), {})
    assert (leo.guest_id, leo.user, leo.state) == ("3", "Leo", 0)
    assert leo.key == "3/leo/03.05.2025 18:26"
    assert (leo.since, leo.idle) == (None, None)


def test_terminal_server_with_disconnected_users() -> None:
    sessions = parse_sessions(read("en-qwinsta"), "", {})
    assert [(s.guest_id, s.user, s.state) for s in sessions] == [
        ("2", "BobSm", 0),
        ("3", "JohnD", 4),
        ("4", "JaneD", 4),
    ]


def test_every_sample_names_its_source() -> None:
    for sample in GUESTS.glob("*.txt"):
        if not sample.name.endswith(".source.txt"):
            sources = [path.read_text() for path in GUESTS.glob("*.source.txt")]
            assert any(sample.name in text for text in sources), sample.name


def test_nobody_logged_on() -> None:
    header = read("en-qwinsta").splitlines()[0]
    assert parse_sessions(header, "", {}) == []
    assert parse_sessions("", "", {}) == []


def test_since_when_is_what_the_agent_says_of_a_user_with_one_session() -> None:
    logons = read_logons([{"user": "LEO", "domain": "PC", "login-time": 1746289560.5}])
    (leo,) = parse_sessions(read("de-query-session"), read("de-query-user"), logons)
    assert leo.since == datetime(2025, 5, 3, 16, 26, 0, 500000, UTC)


def test_the_first_of_several_logons_is_none_of_a_session() -> None:
    twice = read("en-qwinsta").replace("JaneD", "johnD")
    logons = read_logons([{"user": name, "login-time": 1} for name in ("JohnD", "BobSm")])
    found = {s.guest_id: s.since for s in parse_sessions(twice, "", logons)}
    assert found == {"2": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), "3": None, "4": None}


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        (".", timedelta()),
        ("5", timedelta(minutes=5)),
        ("1:20", timedelta(hours=1, minutes=20)),
        ("2+03:15", timedelta(days=2, hours=3, minutes=15)),
        ("none", None),
        ("Kein", None),
        ("24692+13:29", None),
        ("", None),
    ],
)
def test_idle_time(text: str, idle: timedelta | None) -> None:
    assert read_idle(text) == idle
    row = f">johnd                                     3  Disc   {text or 'none'}  5/3/2025 6:26 PM"
    header = read("en-qwinsta").splitlines()[0]
    session = "                   johnd                     3  Disc"
    (found,) = parse_sessions(f"{header}\n{session}", f"{header}\n{row}", {})
    assert (found.key, found.idle) == ("3/johnd/5/3/2025 6:26 PM", idle)


@given(st.text())
def test_any_words_are_an_idle_time_or_none(text: str) -> None:
    assert (read_idle(text) or timedelta()) >= timedelta()


@given(st.floats() | st.integers())
def test_any_number_is_a_time_or_none(seconds: float) -> None:
    logons = read_logons([{"user": "leo", "login-time": seconds}])
    assert logons.keys() <= {"leo"}


class Agent:
    """Answers as a German Windows with one user does."""

    PRINTED: ClassVar = {"qwinsta.exe": "de-query-session", "quser.exe": "de-query-user"}

    def __init__(self) -> None:
        self.started: list[str] = []

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        if command == "guest-get-users":
            return [{"user": "leo", "domain": "PC", "login-time": 1746289560.0}]
        if command == "guest-exec":
            self.started.append(self.PRINTED[ntpath.basename((arguments or {})["path"])])
            return {"pid": len(self.started)}
        out = base64.b64encode(read(self.started[-1]).encode()).decode()
        return {"exited": True, "exitcode": 1, "out-data": out}


def test_a_windows_guest_tells_of_its_sessions_by_three_questions() -> None:
    guest = WindowsGuest(GuestCommands(Agent()), lambda: VmState.RUNNING)
    (leo,) = guest.list_sessions(Deadline(5))
    assert (leo.user, leo.guest_id) == ("Leo", "3")
    assert leo.since == datetime(2025, 5, 3, 16, 26, tzinfo=UTC)


class Refusing:
    """An agent that does not know the command."""

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        raise OperationFailed(f"The command {command} has not been found")


def test_an_agent_that_does_not_tell_of_users_costs_the_times_alone() -> None:
    assert GuestCommands(Refusing()).list_users(Deadline(1)) == []
