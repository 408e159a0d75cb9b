"""The guest inside one simulated VM: users with sessions, and screens that record messages."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from openrdms.adapters.simulator import effects, vms
from openrdms.model.errors import GuestUnreachable, HostUnavailable, SessionGone, VmNotRunning
from openrdms.model.host import (
    CommandResult,
    GuestIdentity,
    GuestSession,
    InstalledApplication,
    VmEvent,
    VmEventKind,
    VmState,
)

if TYPE_CHECKING:
    from openrdms.adapters.simulator.cluster import Cluster

_Moment = AbstractContextManager[tuple[sqlite3.Connection, sqlite3.Row]]
_Begin = Callable[[str], AbstractContextManager[sqlite3.Connection]]

ACTIVE, DISCONNECTED = 0, 4
"""ConnectState of Win32_VirtualDesktopSession."""

_TYPED_KEPT = 2000
"""Characters: more than a screen shows."""

_APPLICATIONS = (
    InstalledApplication("Calculator", "/usr/bin/gnome-calculator", icon="org.gnome.Calculator"),
    InstalledApplication("Firefox", "/usr/bin/firefox", icon="firefox"),
    InstalledApplication(
        "LibreOffice Writer", "/usr/bin/libreoffice", "--writer", "libreoffice-writer"
    ),
)
"""What every simulated guest has installed."""


class SimulatorGuest:
    """Implements ``ports.Guest``. Every call takes the agent ``agent_ms``."""

    def __init__(self, cluster: Cluster, host: str, vm: str) -> None:
        self._cluster = cluster
        self._host = host
        self._vm = vm

    def ping(self, timeout: float) -> None:
        """See ``ports.Guest``."""
        with self._asked(timeout):
            pass

    def list_sessions(self, timeout: float) -> list[GuestSession]:
        """See ``ports.Guest``."""
        with self._asked(timeout) as (db, vm):
            rows = logged_on(db, vm, self._cluster.clock.now())
            domain = _identity(db, vm).hostname if rows else ""
            return [_session(row, domain) for row in rows]

    def send_message(self, session: GuestSession, title: str, text: str, timeout: float) -> None:
        """See ``ports.Guest``. The message stays on the screen as long as the session."""
        with self._agent(timeout) as (db, vm):
            db.execute(
                "INSERT INTO messages (host, vm, guest_id, title, text) VALUES (?, ?, ?, ?, ?)",
                (*_session_key(db, vm, session), title, text),
            )

    def disconnect(self, session: GuestSession, timeout: float) -> None:
        """See ``ports.Guest``."""
        with self._agent(timeout) as (db, vm):
            self._cluster.operations.check()
            db.execute(
                "UPDATE sessions SET state = ? WHERE host = ? AND vm = ? AND guest_id = ?",
                (DISCONNECTED, *_session_key(db, vm, session)),
            )

    def log_off(self, session: GuestSession, timeout: float) -> None:
        """See ``ports.Guest``. What was on the session's screen goes with it."""
        with self._agent(timeout) as (db, vm):
            self._cluster.operations.check()
            db.execute(
                "DELETE FROM sessions WHERE host = ? AND vm = ? AND guest_id = ?",
                _session_key(db, vm, session),
            )
            event = VmEvent(VmEventKind.LOGGED_OFF, self._host, vm["name"])
        self._cluster.announcer.announce(self._cluster.clock.now(), event)

    def read_clipboard(self, session: GuestSession, timeout: float) -> str:
        """See ``ports.Guest``."""
        with self._asked(timeout) as (db, vm):
            (text,) = db.execute(
                "SELECT clipboard FROM sessions WHERE host = ? AND vm = ? AND guest_id = ?",
                _session_key(db, vm, session),
            ).fetchone()
            return str(text)

    def write_clipboard(self, session: GuestSession, text: str, timeout: float) -> None:
        """See ``ports.Guest``."""
        with self._agent(timeout) as (db, vm):
            db.execute(
                "UPDATE sessions SET clipboard = ? WHERE host = ? AND vm = ? AND guest_id = ?",
                (text, *_session_key(db, vm, session)),
            )

    def list_applications(self, timeout: float) -> list[InstalledApplication]:
        """See ``ports.Guest``."""
        with self._asked(timeout):
            return list(_APPLICATIONS)

    def set_identity(self, identity: GuestIdentity, timeout: float) -> None:
        """See ``ports.Guest``. It is kept on the VM's disk, as in a real guest."""
        with self._agent(timeout) as (db, vm):
            self._cluster.operations.check()
            _write_identity(db, vm, identity)

    def run_command(self, command: str, timeout: float) -> CommandResult:
        """See ``ports.Guest``. It succeeds unless the VM or its image has the fault ``probe``."""
        with self._agent(timeout) as (db, vm):
            self._cluster.operations.check()
            disk = vms.find_disk(db, vm["host"], vm["name"], vm["disk"])
            fault = vms.find_image_fault(db, disk["image"]) if disk else ""
            failed = "probe" in (vm["fault"], fault)
            return CommandResult(int(failed), f"{command}: failed (simulated)" if failed else "")

    def logon_mark(self, timeout: float) -> str:
        """See ``ports.Guest``."""
        with self._asked(timeout) as (_, vm):
            return f"{vm['started_at']!r}/{vm['logons']}"

    def generalise(self, timeout: float) -> None:
        """See ``ports.Guest``."""
        with self._agent(timeout) as (db, vm):
            self._cluster.operations.check()
            _write_identity(db, vm, GuestIdentity("localhost", "", ""))

    def identity(self) -> GuestIdentity:
        """What the guest has on its disk, read past the agent. NotFound."""
        with self._cluster.operations.transaction(self._host) as db:
            return _identity(db, vms.get(db, self._host, self._vm))

    def log_on(self, user: str) -> str:
        """Begin a session, as a user at the VM's screen does; returns the guest's id of it.

        VmNotRunning, GuestUnreachable while it boots.
        """
        now = self._cluster.clock.now()
        with self._running(self._cluster.operations.transaction) as (db, vm):
            guest_id = effects.log_on(db, (self._host, vm["name"]), user, now)
            event = VmEvent(VmEventKind.LOGGED_ON, self._host, vm["name"])
        self._cluster.announcer.announce(now, event)
        return str(guest_id)

    def _agent(self, timeout: float) -> _Moment:
        """The moment at which the agent carries out a call, as a transaction."""
        return self._answer(timeout, self._cluster.operations.transaction)

    def _asked(self, timeout: float) -> _Moment:
        """The moment at which the agent answers a call that changes nothing."""
        return self._answer(timeout, self._cluster.operations.reading)

    @contextmanager
    def _answer(
        self, timeout: float, begin: _Begin
    ) -> Iterator[tuple[sqlite3.Connection, sqlite3.Row]]:
        latency = self._cluster.settings.agent_ms / 1000
        self._cluster.clock.sleep(min(latency, timeout))
        with self._running(begin) as (db, vm):
            silent = vm["fault"] == "silent"
            if not silent and latency <= timeout:
                yield db, vm
                return
        if silent:
            self._cluster.clock.sleep(max(0.0, timeout - latency))
        raise GuestUnreachable(f"the agent of {self._vm} did not answer in {timeout} s")

    @contextmanager
    def _running(self, begin: _Begin) -> Iterator[tuple[sqlite3.Connection, sqlite3.Row]]:
        try:
            with begin(self._host) as db:
                vm = vms.find(db, self._host, self._vm)
                if vm is None or vms.state(vm) is not VmState.RUNNING:
                    raise VmNotRunning(f"{self._vm} is not running on {self._host}")
                if vm["agent_at"] is None or vm["agent_at"] > self._cluster.clock.now():
                    raise GuestUnreachable(f"the agent of {self._vm} is not connected")
                yield db, vm
        except HostUnavailable as error:
            raise GuestUnreachable(str(error)) from error


def logged_on(db: sqlite3.Connection, vm: sqlite3.Row, now: float) -> list[sqlite3.Row]:
    """The rows of the sessions in that VM."""
    return db.execute(
        "SELECT * FROM sessions WHERE host = ? AND vm = ? AND since <= ? ORDER BY guest_id",
        (vm["host"], vm["name"], now),
    ).fetchall()


def screen_lines(db: sqlite3.Connection, vm: sqlite3.Row, now: float) -> list[str]:
    """What the VM's screen shows: who it is, who is logged on, and their messages."""
    lines = [f"{_identity(db, vm).hostname} ({vm['name']})"]
    for session in logged_on(db, vm, now):
        lines += ["", f"{session['user']}, session {session['guest_id']}"]
        for message in db.execute(
            "SELECT * FROM messages WHERE host = ? AND vm = ? AND guest_id = ? ORDER BY id",
            (vm["host"], vm["name"], session["guest_id"]),
        ):
            lines += f"[{message['title']}] {message['text']}".splitlines()
    typed = read_typed(db, vm)
    return [*lines, "", *typed.split("\n")] if typed else lines


def type_in(db: sqlite3.Connection, vm: sqlite3.Row, keys: str) -> None:
    """Put characters behind what was typed since its boot; a backspace takes the last one away."""
    text = read_typed(db, vm)
    for key in keys:
        text = text[:-1] if key == "\b" else text + key
    row = (vm["host"], vm["name"], vm["started_at"], text[-_TYPED_KEPT:])
    db.execute("INSERT OR REPLACE INTO typed VALUES (?, ?, ?, ?)", row)


def read_typed(db: sqlite3.Connection, vm: sqlite3.Row) -> str:
    """What was typed at that VM's screen since its boot."""
    row = db.execute(
        "SELECT text FROM typed WHERE host = ? AND vm = ? AND started_at = ?",
        (vm["host"], vm["name"], vm["started_at"]),
    ).fetchone()
    return str(row["text"]) if row else ""


def _session(row: sqlite3.Row, domain: str) -> GuestSession:
    guest_id = str(row["guest_id"])
    return GuestSession(
        guest_id,
        f"{guest_id}@{row['since']!r}",
        row["user"],
        domain,
        row["state"],
        since=datetime.fromtimestamp(row["since"], UTC),
    )


def _session_key(
    db: sqlite3.Connection, vm: sqlite3.Row, session: GuestSession
) -> tuple[str, str, int]:
    row = db.execute(
        "SELECT * FROM sessions WHERE host = ? AND vm = ? AND guest_id = ?",
        (vm["host"], vm["name"], session.guest_id),
    ).fetchone()
    if row is None or _session(row, "").key != session.key:
        raise SessionGone(f"session {session.guest_id} of {session.user} on {vm['name']} has ended")
    return row["host"], row["vm"], row["guest_id"]


def _identity(db: sqlite3.Connection, vm: sqlite3.Row) -> GuestIdentity:
    disk = vms.find_disk(db, vm["host"], vm["name"], vm["disk"])
    if disk is None:
        return GuestIdentity("", "", "")
    return GuestIdentity(disk["hostname"], disk["machine_id"], disk["guest_mac"])


def _write_identity(db: sqlite3.Connection, vm: sqlite3.Row, identity: GuestIdentity) -> None:
    db.execute(
        """UPDATE disks SET hostname = ?, machine_id = ?, guest_mac = ?
           WHERE host = ? AND vm = ? AND name = ?""",
        (identity.hostname, identity.machine_id, identity.mac, vm["host"], vm["name"], vm["disk"]),
    )
