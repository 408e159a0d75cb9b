"""What the Linux driver asks of a guest, and when."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from openrdms.adapters.libvirt import linux_scripts
from openrdms.adapters.libvirt.guest_exec import Deadline, GuestCommands
from openrdms.adapters.libvirt.guest_linux import LinuxGuest
from openrdms.adapters.libvirt.linux_sessions import parse_sessions

SESSION = """3d1c07ad-8d2f-4a5c-9d55-3a1f6ce1b5a7
Id=1
Name=alice
User=1000
Type=tty
Class=user
State={state}
Seat=seat0
TTY=pts/0
Display=
Service=login
Scope=session-1.scope
RemoteHost=
"""


LOGGED = """New session c1 of user lightdm.
New session 3 of user daemon.
New session 4 of user root.
New session '5' of user 'al.ice' with class 'user' and type 'tty'."""


class Opening:
    """An agent of a guest whose session opens at the third look; notes what is started."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        if command == "guest-exec":
            self.started.append((arguments or {})["path"])
            return {"pid": len(self.started)}
        state = "opening" if self.started.count("/bin/sh") < 3 else "active"
        out = base64.b64encode(SESSION.format(state=state).encode())
        return {"exited": True, "exitcode": 0, "out-data": out}


def test_a_message_waits_for_the_session_to_open() -> None:
    agent = Opening()
    [session] = parse_sessions(SESSION.format(state="opening"))
    LinuxGuest(GuestCommands(agent)).send_message(session, "Title", "Text", Deadline(5))
    assert agent.started == ["/bin/sh", "/bin/sh", "/bin/sh", "tee"]


@pytest.mark.parametrize("present", [["zenity", "xmessage"], ["xmessage"]])
def test_a_dialog_is_of_the_kind_that_is_there(tmp_path: Path, present: list[str]) -> None:
    for program in present:
        made = tmp_path / program
        made.write_text('#!/bin/sh\necho "${0##*/} $*"; cat\n')
        made.chmod(0o755)
    (tmp_path / "cat").symlink_to("/bin/cat")
    done = subprocess.run(
        ["/bin/sh", "-c", linux_scripts.OPEN_DIALOG, "openrdms", "Back at $(noon)"],
        input="text",
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": str(tmp_path)},
    )
    assert done.stdout.startswith(f"{present[0]} ")
    assert "Back at $(noon)" in done.stdout
    assert done.stdout.endswith("\ntext")


def test_a_session_that_ends_meanwhile_hides_no_other(tmp_path: Path) -> None:
    """loginctl shows nothing of the rest when it does not know one of them."""
    done = list_sessions(tmp_path, ends="c1")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1:] == ["Id=2", "Service=xrdp-sesman", "%sockets"]


def test_sessions_that_logind_does_not_tell_are_not_none(tmp_path: Path) -> None:
    assert list_sessions(tmp_path, ends="").returncode != 0


def list_sessions(place: Path, ends: str) -> subprocess.CompletedProcess[str]:
    """The script, where loginctl fails for as long as there is a session c1, which may end."""
    sessions = place / "sessions"
    sessions.mkdir()
    for name in ("2", "2.ref", "c1"):
        (sessions / name).touch()
    loginctl = place / "loginctl"
    loginctl.write_text(f"""#!/bin/sh
case "$*" in *c1*) rm -f "{sessions}/{ends or "none"}"; exit 1 ;; esac
echo Id=2; echo Service=xrdp-sesman
""")
    loginctl.chmod(0o755)
    script = linux_scripts.LIST.replace("/run/systemd/sessions", str(sessions))
    path = f"{place}:/usr/bin:/bin"
    argv = ["/bin/sh", "-c", script]
    return subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": path})


@pytest.mark.parametrize(
    ("logged", "mark"), [("", "0/"), (LOGGED.splitlines()[1], "0/"), (LOGGED, "3/'5'")]
)
def test_mark_counts_log_ons_of_people(tmp_path: Path, logged: str, mark: str) -> None:
    """A real sh and awk; ``daemon`` is a system user here, too."""
    journalctl = tmp_path / "journalctl"
    journalctl.write_text(f"#!/bin/sh\ncat <<'END'\n{logged}\nEND\n")
    journalctl.chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    script = ["/bin/sh", "-c", linux_scripts.LOGON_MARK]
    done = subprocess.run(script, capture_output=True, text=True, check=True, env={"PATH": path})
    assert done.stdout.partition("/")[2].strip() == mark


def test_mark_fails_without_a_journal(tmp_path: Path) -> None:
    script = ["/bin/sh", "-c", f"journalctl() {{ return 1; }}\n{linux_scripts.LOGON_MARK}"]
    assert subprocess.run(script, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize(("name", "ended"), [("xrdp", True), ("xrdp-sesman", False)])
def test_only_a_process_of_xrdp_is_killed(tmp_path: Path, name: str, ended: bool) -> None:
    program = shutil.copy("/bin/sleep", tmp_path / name)
    with subprocess.Popen([program, "60"]) as process:
        try:
            script = ["/bin/sh", "-c", linux_scripts.END_CONNECTION, "openrdms", str(process.pid)]
            done = subprocess.run(script, capture_output=True, text=True, check=False)
            assert (done.returncode == 0) is ended
            assert ("no xrdp connection" in done.stderr) is not ended
            if ended:
                assert process.wait(30) == -signal.SIGTERM
            assert (process.poll() is None) is not ended
        finally:
            process.kill()
