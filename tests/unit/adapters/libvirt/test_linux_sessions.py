"""Linux sessions from what real guests printed."""

from __future__ import annotations

from pathlib import Path

from openrdms.adapters.libvirt.guest_linux import is_on_screen
from openrdms.adapters.libvirt.linux_sessions import parse_sessions, parse_xrdp_clients

GUESTS = Path(__file__).parents[3] / "data" / "guests"
BOOT = "011d3da7-49e2-4019-884f-d9e897144a66"


def read(name: str) -> str:
    return (GUESTS / f"debian12-xrdp-{name}.txt").read_text()


def logind(**changes: str) -> str:
    """One session as ``loginctl show-session`` prints it, on a console unless changed."""
    facts = {"Id": "1", "User": "1000", "Name": "alice", "Seat": "seat0", "TTY": "tty1"}
    facts |= {"Display": "", "RemoteHost": "", "Service": "login", "Type": "tty"}
    facts |= {"Class": "user", "State": "active", "Scope": "session-1.scope"} | changes
    return "\n".join(["boot", *(f"{name}={value}" for name, value in facts.items()), ""])


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


def test_screen_is_compared_without_what_wrapping_and_wide_characters_change() -> None:
    screen = "Title               two words wrap      ped \u4f60  end      ".encode("utf-32-le")
    assert is_on_screen("Title\r\ntwo words wrapped 你 end", screen)
    assert not is_on_screen("Title\r\nother words", screen)
