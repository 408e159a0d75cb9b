"""Linux sessions from what real guests printed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.adapters.libvirt.guest_linux import is_on_screen
from openrdms.adapters.libvirt.linux_sessions import (
    parse_sessions,
    parse_xrdp_clients,
    read_idle,
    read_time,
)

GUESTS = Path(__file__).parents[3] / "data" / "guests"
BOOT = "011d3da7-49e2-4019-884f-d9e897144a66"


def read(name: str) -> str:
    return (GUESTS / f"debian12-xrdp-{name}.txt").read_text()


def logind(**changes: str) -> str:
    """One session as ``loginctl show-session`` prints it, on a console unless changed."""
    facts = {"Id": "1", "User": "1000", "Name": "alice", "Seat": "seat0", "TTY": "tty1"}
    facts |= {"Display": "", "RemoteHost": "", "Service": "login", "Type": "tty"}
    facts |= {"Class": "user", "State": "active", "Scope": "session-1.scope"} | changes
    return "\n".join(["boot 1000.25", *(f"{name}={value}" for name, value in facts.items()), ""])


def test_console_and_connected_xrdp_session() -> None:
    alice, bob = parse_sessions(read("connected"))
    assert (alice.guest_id, alice.user, alice.state, alice.client) == ("1", "alice", 0, "")
    assert (bob.guest_id, bob.user, bob.state, bob.client) == ("c1", "bob", 0, "10.0.2.2")
    assert bob.key == f"{BOOT}/c1"
    assert bob.details["connection"] == "804"
    assert bob.domain == ""


def test_xrdp_session_without_its_client_is_disconnected_though_logind_calls_it_active() -> None:
    _, bob = parse_sessions(read("disconnected"))
    assert (bob.state, bob.client) == (4, "")
    assert not bob.details["connection"]


def test_sockets_of_no_xrdp_are_no_clients() -> None:
    assert parse_xrdp_clients("") == {}
    assert parse_xrdp_clients(read("disconnected").partition("%sockets\n")[2]) == {}


def test_lines_that_a_user_of_the_guest_forged_break_nothing() -> None:
    assert parse_xrdp_clients('tcp "xrdp",pid=1\nu_str "xrdp",pid=1\n') == {}


def test_states_of_logind() -> None:
    assert [s.state for s in parse_sessions(logind())] == [0]
    assert [s.state for s in parse_sessions(logind(State="opening"))] == [1]
    assert [s.state for s in parse_sessions(logind(State="online"))] == [4]


def test_greeters_ending_sessions_and_those_without_a_screen_are_left_out() -> None:
    for changes in ({"Class": "greeter"}, {"State": "closing"}, {"TTY": "", "Type": "unspecified"}):
        assert parse_sessions(logind(**changes)) == []


def test_session_over_ssh_has_its_client() -> None:
    (session,) = parse_sessions(logind(TTY="pts/0", Seat="", RemoteHost="192.0.2.7"))
    assert session.client == "192.0.2.7"


def test_nobody_logged_on() -> None:
    assert parse_sessions("boot\n") == []
    assert parse_sessions("boot 1000.25\n") == []


def test_times_of_a_session() -> None:
    told = {"Timestamp": "Sat 2026-11-21 11:50:07 UTC", "IdleHint": "yes"}
    told |= {"IdleSinceHintMonotonic": "940250000"}
    (session,) = parse_sessions(logind(**told))
    assert session.since == datetime(2026, 11, 21, 11, 50, 7, tzinfo=UTC)
    assert session.idle == timedelta(seconds=60)
    assert session.key == "boot/1"


def test_guests_that_tell_no_times_have_sessions_all_the_same() -> None:
    assert [(s.since, s.idle) for s in parse_sessions(read("connected"))] == [(None, None)] * 2


@pytest.mark.parametrize(
    ("kind", "hint", "since", "idle"),
    [
        ("tty", "yes", "940250000", 60.0),
        ("tty", "no", "940250000", 60.0),  # seldom: where logind has an IdleAction to wait for
        ("x11", "yes", "940250000", 60.0),
        ("x11", "no", "940250000", None),  # since when it is not idle
        ("x11", "yes", "0", None),
        ("tty", "yes", "1000300000", 0.0),  # touched after the clock was read
        ("tty", "yes", "", None),
        ("tty", "yes", "-5", None),
        ("tty", "yes", "9" * 5000, None),
    ],
)
def test_idle_is_what_logind_measured(kind: str, hint: str, since: str, idle: float | None) -> None:
    record = {"Type": kind, "IdleHint": hint, "IdleSinceHintMonotonic": since}
    expected = None if idle is None else timedelta(seconds=idle)
    assert read_idle(record, "1000.25") == expected
    assert read_idle(record, "") is None


@given(st.datetimes().map(lambda point: point.replace(microsecond=0, tzinfo=UTC)))
def test_every_time_that_systemd_prints_is_read(point: datetime) -> None:
    assert read_time(f"{point:%a} {point.isoformat(sep=' ')[:19]} UTC") == point


@pytest.mark.parametrize(
    "text", ["", "n/a", "Sat 2026-11-21 11:50:07 CET", "x 2026-13-01 00:00:00 UTC"]
)
def test_what_is_no_time_in_utc_is_none(text: str) -> None:
    assert read_time(text) is None


@given(st.text(), st.text())
def test_any_words_are_times_or_none(one: str, other: str) -> None:
    assert read_time(one) is None or read_time(one)
    idle = read_idle({"Type": "tty", "IdleSinceHintMonotonic": one}, other)
    assert idle is None or idle >= timedelta()


PROPERTIES = ("Type", "State", "Service", "Display", "Timestamp", "IdleSinceHintMonotonic")
LINE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")))


@given(st.dictionaries(st.sampled_from(PROPERTIES), LINE | st.integers().map(str)))
def test_any_values_of_properties_are_read(changes: dict[str, str]) -> None:
    assert len(parse_sessions(logind(**changes))) <= 1


def test_screen_is_compared_without_what_wrapping_and_wide_characters_change() -> None:
    screen = "Title               two words wrap      ped \u4f60  end      ".encode("utf-32-le")
    assert is_on_screen("Title\r\ntwo words wrapped 你 end", screen)
    assert not is_on_screen("Title\r\nother words", screen)
