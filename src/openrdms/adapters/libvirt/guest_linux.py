"""Linux guests: logind for sessions, the user's own screen for messages, files for identity."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from openrdms.adapters.libvirt import desktop_entries, linux_scripts
from openrdms.adapters.libvirt.guest_exec import Deadline, GuestCommands, Output
from openrdms.adapters.libvirt.linux_sessions import (
    CONNECTED,
    DISCONNECTED,
    parse_properties,
    parse_sessions,
)
from openrdms.model.errors import NotSupported, OperationFailed, SessionDenied, SessionGone
from openrdms.model.host import CommandResult, GuestIdentity, GuestSession, InstalledApplication

_DEFAULT_TITLE = "Message from the administrator"
_TERMINAL = re.compile(r"tty\d+|ttyS\d+|hvc\d+|pts/\d+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SCOPE = re.compile(r"/(session-[^/\s]+\.scope)")
_SETTLE = 0.3
"""Seconds between two looks at whether something has happened."""

_NO_PROGRAM = 127
"""sh's answer for what is not installed."""

_LAST_TRY = 8.0
"""Seconds that one more try at showing a message may take in a guest without KVM."""

_DIALOG_PROOF = 1.0
"""Seconds a dialog must have stayed open to count as shown: it ends at once without a display."""


class LinuxGuest:
    """The operations of ``ports.Guest`` on a Linux with systemd-logind."""

    def __init__(self, commands: GuestCommands) -> None:
        self._commands = commands

    def list_sessions(self, deadline: Deadline) -> list[GuestSession]:
        """User sessions that have a screen."""
        output = self._script(linux_scripts.LIST, deadline)
        return parse_sessions(output.check("tell its sessions").text)

    def send_message(
        self, session: GuestSession, title: str, text: str, deadline: Deadline
    ) -> None:
        """On the user's own screen: notification or dialog, or written to a text terminal."""
        session = self._get_open(session, deadline)
        title = title or _DEFAULT_TITLE
        if session.details["display"] or session.details["type"] == "wayland":
            self._show(session, title, text, deadline)
        else:
            self._write(session.details["tty"], title, text, deadline)

    def disconnect(self, session: GuestSession, deadline: Deadline) -> None:
        """End a remote connection, or leave a local screen to the greeter."""
        session = self._get(session, deadline)
        if session.state == DISCONNECTED:
            return
        if process := session.details.get("connection"):
            output = self._commands.run(_sh(linux_scripts.END_CONNECTION, process), deadline)
            output.check("end the connection")
        elif session.details["display"] and session.details["seat"]:
            self._switch_to_greeter(session, deadline)
        else:
            raise SessionDenied(f"{session.user}'s text session cannot be disconnected")
        self._wait(lambda: self._state(session, deadline) != session.state, deadline)

    def log_off(self, session: GuestSession, deadline: Deadline) -> None:
        """End the session and see it gone."""
        session = self._get(session, deadline)
        argv = ["loginctl", "terminate-session", session.guest_id]
        self._commands.run(argv, deadline).check("log the user off")
        self._wait(lambda: self._state(session, deadline) is None, deadline)

    def read_clipboard(self, session: GuestSession, deadline: Deadline) -> str:
        """Of an X session, where xclip is installed."""
        output = self._clip(session, "", deadline, "-out")
        if output.code == 1:  # nobody has copied anything, or no text
            return ""
        return output.check("read its clipboard").text

    def write_clipboard(self, session: GuestSession, text: str, deadline: Deadline) -> None:
        """As ``read_clipboard``; xclip stays there to hand it out."""
        self._clip(session, text, deadline, "-in").check("fill its clipboard")

    def list_applications(self, deadline: Deadline) -> list[InstalledApplication]:
        """By desktop entries whose programs are there."""
        text = self._script(linux_scripts.LIST_APPLICATIONS, deadline).text
        entries = desktop_entries.parse_entries(text)
        programs = desktop_entries.name_programs(entries)
        if not programs:
            return []
        found = self._script(linux_scripts.FIND_PROGRAMS, deadline, *programs).text
        places = desktop_entries.read_places(programs, found)
        located = (entry.locate(places) for entry in entries)
        return [application for application in located if application]

    def set_identity(self, identity: GuestIdentity, deadline: Deadline) -> None:
        """Write the identity and read it back."""
        wanted = [identity.hostname, identity.machine_id, identity.mac.lower()]
        output = self._script(linux_scripts.SET_IDENTITY, deadline, *wanted)
        found = output.check("take its identity").text.split()
        if found[:3] != [wanted[0], wanted[0], wanted[1]]:
            raise OperationFailed(f"the guest did not take its identity, it has {found}")
        if found[3:] and wanted[2] not in found[3:]:
            raise OperationFailed(f"no network card of the guest has address {wanted[2]}")

    def run_command(self, command: str, deadline: Deadline) -> CommandResult:
        """By sh, as root; ended in the guest, too, when its time is over."""
        limit = ["timeout", "-k", "1", str(int(deadline.left()) + 1)]
        return self._commands.run([*limit, "/bin/sh", "-c", command], deadline).result

    def logon_mark(self, deadline: Deadline) -> str:
        """The boot, and what logind wrote of log-ons since."""
        output = self._script(linux_scripts.LOGON_MARK, deadline)
        return output.check("tell of log-ons").text.strip()

    def generalise(self, deadline: Deadline) -> None:
        """Remove what must not be cloned."""
        output = self._script(linux_scripts.GENERALISE, deadline).check("generalise itself")
        if output.text.strip():
            raise OperationFailed("the guest still has a machine-id")

    def _script(self, script: str, deadline: Deadline, *arguments: str) -> Output:
        return self._commands.run(_sh(script, *arguments), deadline, repeatable=True)

    def _get(self, session: GuestSession, deadline: Deadline) -> GuestSession:
        """The session as it is now. SessionGone when the id means another one, or none."""
        for found in self.list_sessions(deadline):
            if found.key == session.key:
                return found
        raise SessionGone(f"session {session.guest_id} of {session.user} has ended")

    def _get_open(self, session: GuestSession, deadline: Deadline) -> GuestSession:
        """The session once it has opened: before, its screen takes a message without drawing it."""
        while (found := self._get(session, deadline)).state == CONNECTED:
            deadline.pause(_SETTLE)
        return found

    def _state(self, session: GuestSession, deadline: Deadline) -> int | None:
        found = (s.state for s in self.list_sessions(deadline) if s.key == session.key)
        return next(found, None)

    def _wait(self, happened: Callable[[], bool], deadline: Deadline) -> None:
        while not happened():
            deadline.pause(_SETTLE)

    def _show(self, session: GuestSession, title: str, text: str, deadline: Deadline) -> None:
        """By notification or dialog; a session that is just starting has neither at first."""
        while not self._try_to_show(session, title, text, deadline):
            if deadline.left() < _LAST_TRY:
                raise OperationFailed(
                    f"{session.user}'s session shows neither notifications nor dialogs"
                )
            deadline.pause(_SETTLE)

    def _try_to_show(
        self, session: GuestSession, title: str, text: str, deadline: Deadline
    ) -> bool:
        environment, ours = self._look(session, deadline)
        if ours and self._notify(session.user, environment, title, text, deadline):
            return True
        return self._open_dialog(session.user, environment, title, text, deadline)

    def _look(self, session: GuestSession, deadline: Deadline) -> tuple[dict[str, str], bool]:
        """The session's environment, and whether its bus's notifications appear in it.

        Sessions of one user share a bus, and its notification daemon is on one of their screens.
        """
        details = session.details
        arguments = (session.user, details["user"], details["scope"])
        output = self._script(linux_scripts.ENVIRONMENT, deadline, *arguments)
        lines, found, notifier = output.text.partition("%notifier\n")
        environment = parse_properties(lines)
        scope = _SCOPE.search(notifier)
        display = parse_properties(notifier).get("DISPLAY", "")
        elsewhere = (scope and scope[1] != details["scope"]) or (
            display and display.partition(".")[0] != details["display"].partition(".")[0]
        )
        return environment, bool(found) and not elsewhere

    def _notify(
        self, user: str, environment: dict[str, str], title: str, text: str, deadline: Deadline
    ) -> bool:
        """True when the session's notification daemon took it: it answers with an id."""
        argv = ["notify-send", "--print-id", "--urgency=critical", "--expire-time=0", "--"]
        argv += [_printable(title), html.escape(_printable(text), quote=False)]
        output = self._commands.run(_as_user(user, argv), deadline, env=environment)
        return output.code == 0 and output.text.strip().isdigit()

    def _open_dialog(
        self, user: str, environment: dict[str, str], title: str, text: str, deadline: Deadline
    ) -> bool:
        """True when a dialog with the text stays open on the session's display."""
        argv = _sh(linux_scripts.OPEN_DIALOG, _printable(title))
        process = self._commands.start(
            _as_user(user, argv), deadline, stdin=_printable(text), env=environment
        )
        deadline.pause(_DIALOG_PROOF)
        return self._commands.poll(process, deadline) is None

    def _clip(self, session: GuestSession, text: str, deadline: Deadline, direction: str) -> Output:
        session = self._get(session, deadline)
        if not session.details["display"]:
            raise NotSupported(f"{session.user}'s session has no X display, so no clipboard")
        environment, _ = self._look(session, deadline)
        argv = _as_user(session.user, _sh(linux_scripts.CLIP, direction))
        output = self._commands.run(argv, deadline, stdin=text, env=environment)
        if output.code == _NO_PROGRAM:
            raise NotSupported("xclip is not installed in the guest")
        return output

    def _write(self, terminal: str, title: str, text: str, deadline: Deadline) -> None:
        """Write to a terminal; a virtual console is looked at afterwards."""
        if not _TERMINAL.fullmatch(terminal):
            raise OperationFailed(f"a message cannot be shown on terminal {terminal!r}")
        shown = f"\n{_printable(title)}\n{_printable(text)}\n".replace("\n", "\r\n")
        output = self._commands.run(["tee", f"/dev/{terminal}"], deadline, stdin=shown)
        output.check("write to the terminal")
        if terminal.removeprefix("tty").isdigit():
            screen = f"/dev/vcsu{terminal.removeprefix('tty')}"
            cells = self._commands.run(["cat", screen], deadline).check("read its screen").out
            if not is_on_screen(shown, cells):
                raise OperationFailed("the message was written but is not on the screen")

    def _switch_to_greeter(self, session: GuestSession, deadline: Deadline) -> None:
        environment, _ = self._look(session, deadline)
        manager = "org.freedesktop.DisplayManager"
        seat = environment.get("XDG_SEAT_PATH", "/org/freedesktop/DisplayManager/Seat0")
        argv = ["busctl", "call", manager, seat, f"{manager}.Seat", "SwitchToGreeter"]
        self._commands.run(argv, deadline).check("switch to the greeter")


def is_on_screen(text: str, cells: bytes) -> bool:
    """Whether the end of ``text`` is among ``cells``, the UTF-32 content of /dev/vcsuN.

    Compared without blanks, line ends and all but ASCII: lines wrap, and wide characters take
    two cells.
    """
    return _squeeze(text)[-200:] in _squeeze(cells.decode("utf-32-le", "replace"))


def _squeeze(text: str) -> str:
    return "".join(character for character in text if "!" <= character <= "~")


def _printable(text: str) -> str:
    """Without control characters: a message must not steer a terminal."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def _sh(script: str, *arguments: str) -> list[str]:
    return ["/bin/sh", "-c", script, "openrdms", *arguments]


def _as_user(user: str, argv: list[str]) -> list[str]:
    return ["runuser", "-u", user, "--", *argv]
