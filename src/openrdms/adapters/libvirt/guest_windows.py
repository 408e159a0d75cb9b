"""Windows guests by their own console tools: query session, quser, msg, tsdiscon, logoff, sysprep.

UNTESTED ON A LIVE WINDOWS: the parsers are tested on output published by others, the rest is
written from Microsoft's reference of these commands. The agent runs as LocalSystem. The tools are
not part of Home editions, and print in the language and OEM code page of the system, so columns
are taken by their place and states are told apart by where they stand, not by their words.
"""

from __future__ import annotations

import ntpath
from collections.abc import Callable

from openrdms.adapters.libvirt import windows_shortcuts
from openrdms.adapters.libvirt.guest_exec import Deadline, GuestCommands, Output
from openrdms.adapters.libvirt.windows_sessions import (
    DISCONNECTED,
    parse_sessions,
    read_logons,
)
from openrdms.model.errors import (
    GuestUnreachable,
    NotSupported,
    OperationFailed,
    SessionDenied,
    SessionGone,
    VmNotRunning,
)
from openrdms.model.host import (
    CommandResult,
    GuestIdentity,
    GuestSession,
    InstalledApplication,
    VmState,
)

_SYSTEM = r"C:\Windows\System32"
_ACCESS_DENIED = 5
_SETTLE = 0.5
"""Seconds between two looks at whether something has happened."""

_RENAME = (
    "$ErrorActionPreference='Stop'; $name=[Console]::In.ReadLine(); "
    "if ($env:COMPUTERNAME -ne $name) { Rename-Computer -NewName $name -Force }; "
    "(Get-ItemProperty 'HKLM:\\SYSTEM\\CurrentControlSet\\Control\\ComputerName\\ComputerName')"
    ".ComputerName"
)
"""The new name comes on standard input; prints the name that holds from the next start."""

_RUN = (
    "$ErrorActionPreference='Stop'; "
    "$start=New-Object Diagnostics.ProcessStartInfo $env:ComSpec; "
    "$start.Arguments='/d /s /c \"'+[Console]::In.ReadToEnd()+'\"'; "
    "$start.UseShellExecute=$false; "
    "$process=[Diagnostics.Process]::Start($start); $process.WaitForExit(); exit $process.ExitCode"
)
"""The command comes on standard input and goes to cmd.exe as it is: the agent's way of quoting
arguments is not cmd's.
"""

_LOGON_MARK = (
    "$ErrorActionPreference='Stop'; "
    "$boot=(Get-CimInstance Win32_OperatingSystem).LastBootUpTime.ToString('yyyyMMddHHmm'); "
    "$loads=@(Get-ItemProperty 'HKLM:\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"
    "\\ProfileList\\S-1-5-21-*' | ForEach-Object {"
    "([int64]$_.LocalProfileLoadTimeHigh -shl 32)+[uint32]$_.LocalProfileLoadTimeLow}); "
    '"$boot/$($loads.Count)/$(($loads | Measure-Object -Maximum).Maximum)"'
)
"""Profiles keep their time when the user has logged off, which sessions do not."""


class WindowsGuest:
    """The operations of ``ports.Guest`` on Windows Pro, Enterprise and Server."""

    def __init__(self, commands: GuestCommands, state: Callable[[], VmState]) -> None:
        self._commands = commands
        self._state = state

    def list_sessions(self, deadline: Deadline) -> list[GuestSession]:
        """Sessions of users. Both tools return 1 although they have answered."""
        sessions = self._run(deadline, "qwinsta.exe")
        users = self._run(deadline, "quser.exe")
        logons = read_logons(self._commands.list_users(deadline))
        return parse_sessions(_decode(sessions.out), _decode(users.out), logons)

    def send_message(
        self, session: GuestSession, title: str, text: str, deadline: Deadline
    ) -> None:
        """A message box (msg.exe), with the text on standard input.

        msg.exe has no title, so it becomes the first line. /W waits until the user has answered
        or the box has gone: running on is the sign that it is open.
        """
        self._get(session, deadline)
        body = f"{title}\r\n\r\n{text}" if title else text
        argv = [ntpath.join(_SYSTEM, "msg.exe"), session.guest_id, "/W"]
        process = self._commands.start(argv, deadline, stdin=body)
        deadline.pause(_SETTLE)
        output = self._commands.poll(process, deadline)
        if output is not None and output.code != 0:
            _refuse(output, "show a message")

    def disconnect(self, session: GuestSession, deadline: Deadline) -> None:
        """tsdiscon, then see the session without its client."""
        if self._get(session, deadline).state == DISCONNECTED:
            return
        output = self._run(deadline, "tsdiscon.exe", session.guest_id)
        if output.code != 0:
            _refuse(output, "disconnect the session")
        while self._get(session, deadline).state != DISCONNECTED:
            deadline.pause(_SETTLE)

    def log_off(self, session: GuestSession, deadline: Deadline) -> None:
        """logoff, then see the session gone."""
        self._get(session, deadline)
        output = self._run(deadline, "logoff.exe", session.guest_id)
        if output.code != 0:
            _refuse(output, "log the user off")
        while any(found.key == session.key for found in self.list_sessions(deadline)):
            deadline.pause(_SETTLE)

    def read_clipboard(self, session: GuestSession, deadline: Deadline) -> str:
        """NotSupported: a clipboard is its window station's, where no agent is."""
        raise NotSupported("the agent has no way to a clipboard on Windows")

    def write_clipboard(self, session: GuestSession, text: str, deadline: Deadline) -> None:
        """NotSupported, as ``read_clipboard``."""
        raise NotSupported("the agent has no way to a clipboard on Windows")

    def list_applications(self, deadline: Deadline) -> list[InstalledApplication]:
        """Programs that the Start menu of all users has shortcuts to."""
        output = self._commands.run(_powershell(windows_shortcuts.LIST), deadline, repeatable=True)
        return windows_shortcuts.parse_shortcuts(output.check("list applications").text)

    def set_identity(self, identity: GuestIdentity, deadline: Deadline) -> None:
        """Rename the computer from its next start on. SID and keys are made anew by sysprep."""
        name = identity.hostname[:15]  # NetBIOS
        argv = _powershell(_RENAME)
        output = self._commands.run(argv, deadline, stdin=f"{name}\r\n").check("rename itself")
        if output.text.strip().casefold() != name.casefold():
            raise OperationFailed(f"the guest kept the name {output.text.strip()}")

    def run_command(self, command: str, deadline: Deadline) -> CommandResult:
        """By cmd.exe, as LocalSystem."""
        return self._commands.run(_powershell(_RUN), deadline, stdin=command).result

    def logon_mark(self, deadline: Deadline) -> str:
        """When the system was started, and when a user's profile was last loaded."""
        output = self._commands.run(_powershell(_LOGON_MARK), deadline, repeatable=True)
        return output.check("tell of logons").text.strip()

    def generalise(self, deadline: Deadline) -> None:
        """sysprep /generalize /oobe /shutdown; returns when the VM has gone down by it."""
        argv = [ntpath.join(_SYSTEM, "Sysprep", "sysprep.exe")]
        argv += ["/generalize", "/oobe", "/shutdown", "/quiet"]
        process = self._commands.start(argv, deadline)
        while self._state() is VmState.RUNNING:
            output = self._poll_while_running(process, deadline)
            if output is not None and output.code != 0:
                output.check("generalise itself")
            deadline.pause(_SETTLE)

    def _poll_while_running(self, process: int, deadline: Deadline) -> Output | None:
        """The agent goes before the VM does: its silence is no failure here."""
        try:
            return self._commands.poll(process, deadline)
        except (OperationFailed, GuestUnreachable, VmNotRunning):
            return None

    def _get(self, session: GuestSession, deadline: Deadline) -> GuestSession:
        """The session as it is now. SessionGone when the id means another one, or none."""
        for found in self.list_sessions(deadline):
            if found.key == session.key:
                return found
        raise SessionGone(f"session {session.guest_id} of {session.user} has ended")

    def _run(self, deadline: Deadline, tool: str, *arguments: str) -> Output:
        return self._commands.run([ntpath.join(_SYSTEM, tool), *arguments], deadline)


def _powershell(script: str) -> list[str]:
    program = ntpath.join(_SYSTEM, "WindowsPowerShell", "v1.0", "powershell.exe")
    return [program, "-NoProfile", "-NonInteractive", "-Command", script]


def _decode(output: bytes) -> str:
    """Console output: UTF-8 where the system is set to it, else the OEM code page of the West."""
    try:
        return output.decode()
    except UnicodeDecodeError:
        return output.decode("cp850")


def _refuse(output: Output, what: str) -> None:
    """Win32's own code for a refusal is part of what these tools print: ``Error [5]:...``."""
    words = _decode(output.err or output.out).strip()
    if f"[{_ACCESS_DENIED}]" in words:
        raise SessionDenied(f"Windows refused to {what}: {words}")
    raise OperationFailed(f"Windows failed to {what}: {words or f'code {output.code}'}")
