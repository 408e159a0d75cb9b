"""Windows sessions from output that others published (sources beside the samples)."""

from __future__ import annotations

from pathlib import Path

from openrdms.adapters.libvirt.windows_sessions import parse_sessions

GUESTS = Path(__file__).parents[3] / "data" / "guests"


def read(name: str) -> str:
    return (GUESTS / f"windows-{name}.txt").read_text()


def test_german_console_session_with_its_logon_time() -> None:
    (leo,) = parse_sessions(read("de-query-session"), read("de-query-user"))
    assert (leo.guest_id, leo.user, leo.state) == ("3", "Leo", 0)
    assert leo.key == "3/leo/03.05.2025 18:26"


def test_terminal_server_with_disconnected_users() -> None:
    sessions = parse_sessions(read("en-qwinsta"), "")
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
    assert parse_sessions(header, "") == []
    assert parse_sessions("", "") == []
