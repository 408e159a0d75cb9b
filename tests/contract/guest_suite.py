"""What every ``ports.Guest`` promises. An adapter's test file runs it against a booted guest:

    class TestSimulatorGuest(GuestSuite):
        disconnects = True

and supplies the fixtures that GuestSuite declares with ``raise NotImplementedError``, each with
scope "class" (then a ``classmethod``) or wider. Tests run in the order written: the last ones
spend the guest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from openrdms.model.errors import (
    GuestUnreachable,
    NotSupported,
    RdmsError,
    SessionGone,
    VmNotRunning,
)
from openrdms.model.host import GuestIdentity, GuestSession, InstalledApplication
from openrdms.ports import Guest

DISCONNECTED = 4
HOSTILE_TEXT = 'it\'s 5 > 3; $(touch /tmp/gotcha) `id` "quoted" \\n & | %s --help'


def find_session(guest: Guest, key: str, timeout: float) -> GuestSession | None:
    return next((s for s in guest.list_sessions(timeout) if s.key == key), None)


class GuestSuite:
    timeout = 15.0
    """Seconds granted to each call."""

    has_clipboard = True
    """Whether its sessions have one; a text console's have none."""

    disconnects = True
    """Whether the guest's sessions can be disconnected; a text console's cannot."""

    @pytest.fixture(scope="class")
    @classmethod
    def guest(cls) -> Guest:
        """A guest whose agent answers and in which at least one user is logged on."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def off_guest(cls) -> Guest:
        """The guest of a VM that is off."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def silent_guest(cls) -> Guest:
        """The guest of a running VM whose agent does not answer."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def seen(cls) -> Callable[[], list[str]]:
        """Reads what the user of ``session`` sees of messages, past the port: the texts."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def identity(cls) -> Callable[[], GuestIdentity]:
        """Reads the identity that ``guest`` has, past the port; "" for what it has not."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def installed(cls) -> InstalledApplication:
        """An application that ``guest`` has."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def log_on(cls) -> Callable[[], None]:
        """Lets one more user log on to ``guest``, who may be gone again when it returns."""
        raise NotImplementedError

    @pytest.fixture
    def session(self, guest: Guest) -> GuestSession:
        return guest.list_sessions(self.timeout)[0]

    @pytest.fixture
    def gone(self, session: GuestSession) -> GuestSession:
        """A session that ended, whose guest id was given to a new one."""
        return replace(session, key=f"{session.key}-earlier")

    def test_agent_answers(self, guest: Guest) -> None:
        guest.ping(self.timeout)

    def test_sessions_say_who_is_logged_on(self, guest: Guest) -> None:
        sessions = guest.list_sessions(self.timeout)
        assert sessions
        assert all(s.guest_id and s.key and s.user for s in sessions)
        assert len({s.key for s in sessions}) == len(sessions)
        assert {s.state for s in sessions} <= {0, 1, 4, 5}

    def test_sessions_say_since_when(self, guest: Guest) -> None:
        for session in guest.list_sessions(self.timeout):
            assert session.since is not None
            age = datetime.now(UTC) - session.since
            assert -timedelta(seconds=2) < age < timedelta(hours=1)
            assert session.idle is None or timedelta() <= session.idle < timedelta(hours=1)

    def test_sessions_keep_their_keys(self, guest: Guest) -> None:
        assert [s.key for s in guest.list_sessions(self.timeout)] == [
            s.key for s in guest.list_sessions(self.timeout)
        ]

    @pytest.mark.parametrize(
        "text",
        ["Please save your work.", HOSTILE_TEXT, "Grüße, 你好", "two\nlines", "-n"],
        ids=["plain", "hostile", "unicode", "lines", "dash"],
    )
    def test_message_is_seen_in_the_session(
        self, guest: Guest, session: GuestSession, seen: Callable[[], list[str]], text: str
    ) -> None:
        guest.send_message(session, "Maintenance", text, self.timeout)
        assert any(text in shown for shown in seen())

    def test_every_message_is_seen_not_only_the_last(
        self, guest: Guest, session: GuestSession, seen: Callable[[], list[str]]
    ) -> None:
        for text in ("first of two", "second of two"):
            guest.send_message(session, "", text, self.timeout)
        shown = "\n".join(seen())
        assert "first of two" in shown
        assert "second of two" in shown

    def test_what_is_put_on_the_clipboard_is_read_there(
        self, guest: Guest, session: GuestSession
    ) -> None:
        if not self.has_clipboard:
            with pytest.raises(NotSupported):
                guest.write_clipboard(session, "text", self.timeout)
            return
        assert guest.read_clipboard(session, self.timeout) == ""
        for text in (HOSTILE_TEXT, "Grüße, 你好\nsecond line"):
            guest.write_clipboard(session, text, self.timeout)
            assert guest.read_clipboard(session, self.timeout) == text

    def test_gone_session_is_session_gone(self, guest: Guest, gone: GuestSession) -> None:
        for call in (
            lambda: guest.send_message(gone, "t", "to nobody", self.timeout),
            lambda: guest.read_clipboard(gone, self.timeout),
            lambda: guest.write_clipboard(gone, "t", self.timeout),
            lambda: guest.disconnect(gone, self.timeout),
            lambda: guest.log_off(gone, self.timeout),
        ):
            with pytest.raises(SessionGone):
                call()

    def test_gone_session_leaves_its_successor(
        self, guest: Guest, session: GuestSession, seen: Callable[[], list[str]]
    ) -> None:
        assert find_session(guest, session.key, self.timeout) == session
        assert not any("to nobody" in shown for shown in seen())

    def test_applications_are_listed(self, guest: Guest, installed: InstalledApplication) -> None:
        found = guest.list_applications(self.timeout)
        assert installed in found
        assert all(one.name and one.path for one in found)
        assert guest.list_applications(self.timeout) == found

    def test_identity_is_set_and_may_be_set_again(
        self, guest: Guest, identity: Callable[[], GuestIdentity]
    ) -> None:
        wanted = GuestIdentity("desk-7", "0123456789abcdef0123456789abcdef", identity().mac)
        for _ in range(2):
            guest.set_identity(wanted, self.timeout)
            assert identity() == wanted

    def test_command_tells_its_status_and_words(self, guest: Guest) -> None:
        assert guest.run_command("echo so far; echo so good >&2", self.timeout).status == 0
        self.check_command(guest)

    def check_command(self, guest: Guest) -> None:
        """More that holds only where commands are really run."""

    def test_mark_stays_while_nobody_logs_on(self, guest: Guest) -> None:
        mark = guest.logon_mark(self.timeout)
        assert mark
        guest.ping(self.timeout)
        assert guest.logon_mark(self.timeout) == mark

    def test_mark_changes_with_a_log_on_and_remembers_it(
        self, guest: Guest, log_on: Callable[[], None]
    ) -> None:
        before, present = guest.logon_mark(self.timeout), guest.list_sessions(self.timeout)
        log_on()
        mark = guest.logon_mark(self.timeout)
        assert mark != before
        for session in guest.list_sessions(self.timeout):
            if session not in present:
                guest.log_off(session, self.timeout)
        assert guest.logon_mark(self.timeout) == mark

    def test_calls_on_a_vm_that_is_off(self, off_guest: Guest, session: GuestSession) -> None:
        for call in (
            lambda: off_guest.ping(self.timeout),
            lambda: off_guest.list_sessions(self.timeout),
            lambda: off_guest.list_applications(self.timeout),
            lambda: off_guest.run_command("true", self.timeout),
            lambda: off_guest.logon_mark(self.timeout),
            lambda: off_guest.send_message(session, "", "x", self.timeout),
            lambda: off_guest.log_off(session, self.timeout),
        ):
            with pytest.raises(VmNotRunning):
                call()

    def test_silent_agent_is_unreachable_in_time(
        self, silent_guest: Guest, session: GuestSession
    ) -> None:
        for call in (
            lambda: silent_guest.ping(1),
            lambda: silent_guest.list_sessions(1),
            lambda: silent_guest.list_applications(1),
            lambda: silent_guest.run_command("true", 1),
            lambda: silent_guest.logon_mark(1),
            lambda: silent_guest.send_message(session, "", "x", 1),
        ):
            begun = time.monotonic()
            with pytest.raises(GuestUnreachable):
                call()
            assert time.monotonic() - begun < 5

    def test_disconnected_session_goes_on(self, guest: Guest, session: GuestSession) -> None:
        if not self.disconnects:
            with pytest.raises(RdmsError):
                guest.disconnect(session, self.timeout)
            assert find_session(guest, session.key, self.timeout) == session
            return
        for _ in range(2):
            guest.disconnect(session, self.timeout)
            found = find_session(guest, session.key, self.timeout)
            assert found is not None
            assert found.state == DISCONNECTED

    def test_logged_off_session_is_gone(self, guest: Guest, session: GuestSession) -> None:
        guest.log_off(session, self.timeout)
        assert find_session(guest, session.key, self.timeout) is None
        with pytest.raises(SessionGone):
            guest.send_message(session, "", "too late", self.timeout)

    def test_generalised_guest_has_no_machine_id(
        self, guest: Guest, identity: Callable[[], GuestIdentity]
    ) -> None:
        for _ in range(2):
            guest.generalise(self.timeout)
            assert identity().machine_id == ""
