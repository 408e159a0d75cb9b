"""What logind and the socket tables of a Linux guest say, as sessions. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from openrdms.model.host import GuestSession

ACTIVE, CONNECTED, DISCONNECTED = 0, 1, 4
"""ConnectState (facts c.5)."""

_XRDP = "xrdp-sesman"
_STATES = {"active": ACTIVE, "opening": CONNECTED, "online": DISCONNECTED}
"""logind's states (sd_session_get_state(3)); ``closing`` is not a session any more."""

_UTC = re.compile(r"\w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", re.ASCII)
_UPTIME = re.compile(r"\d{1,9}\.\d\d", re.ASCII)
_MICROSECONDS = re.compile(r"[1-9]\d{0,15}", re.ASCII)

_PROCESS = re.compile(r'"xrdp",pid=(\d+)')
_TCP_CLIENT = re.compile(r"tcp(?:\s+\S+){4}\s+(\S+)")
_UNIX_SOCKET = re.compile(r"u_str\s+ESTAB\s+\d+\s+\d+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)")


def parse_sessions(text: str) -> list[GuestSession]:
    """User sessions from the output of ``linux_scripts.LIST``."""
    boot, _, rest = text.partition("\n")
    boot_id, _, uptime = boot.strip().partition(" ")
    logind, _, sockets = rest.partition("%sockets\n")
    clients = parse_xrdp_clients(sockets)
    records = (parse_properties(block) for block in logind.split("\n\n"))
    return [
        _session(boot_id, uptime, record, clients)
        for record in records
        if record.get("Class", "").startswith("user") and _is_interactive(record)
    ]


def parse_properties(block: str) -> dict[str, str]:
    """``Name=value`` lines of loginctl show-session."""
    pairs = (line.partition("=") for line in block.splitlines() if "=" in line)
    return {name: value for name, _, value in pairs}


def read_time(text: str) -> datetime | None:
    """A time as systemd prints it in UTC: ``Sat 2026-11-21 11:50:07 UTC``; None if it is none."""
    found = _UTC.fullmatch(text)
    try:
        return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def read_idle(record: Mapping[str, str], uptime: str) -> timedelta | None:
    """For how long nobody has touched a session; None when logind does not know.

    On a terminal logind looks at the last input itself; of a graphical session it knows only what
    the desktop environment tells it, that is, once it calls the session idle. Monotonic times, so
    that a guest whose clock is wrong is no less right about this.
    """
    known = record.get("Type") == "tty" or record.get("IdleHint") == "yes"
    since = _MICROSECONDS.fullmatch(record.get("IdleSinceHintMonotonic", ""))
    if not (known and since and _UPTIME.fullmatch(uptime)):
        return None
    idle = timedelta(seconds=float(uptime)) - timedelta(microseconds=int(since[0]))
    return max(idle, timedelta())


def parse_xrdp_clients(sockets: str) -> dict[str, tuple[str, str]]:
    """By display (``:10``): the process of its xrdp connection and the client's address.

    Each connection has a process of its own, which holds the client's TCP socket and one end of a
    unix socket whose other end is the session's X server, at .../xrdp_display_N. A session stays
    active in logind when its client leaves: only this tells. A name of a unix socket may hold line
    ends, so a user of the guest can forge lines here: what is killed is looked at first.
    """
    owners: dict[str, str] = {}
    displays: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for line in sockets.splitlines():
        process = _PROCESS.search(line)
        if process and (client := _TCP_CLIENT.match(line)):
            addresses[process[1]] = _address(client[1])
        elif unix := _UNIX_SOCKET.match(line):
            path, inode, peer = unix.groups()
            if process:
                owners[inode] = process[1]
            if "/xrdp_display_" in path:
                displays[peer] = ":" + path.rpartition("_")[2]
    return {
        display: (owners[inode], addresses.get(owners[inode], ""))
        for inode, display in displays.items()
        if inode in owners
    }


def _is_interactive(record: dict[str, str]) -> bool:
    """False for sessions without a screen (cron, su) and those that are ending."""
    screen = record.get("Display") or record.get("TTY") or record.get("Type") == "wayland"
    return bool(screen) and record.get("State") in _STATES


def _session(
    boot_id: str, uptime: str, record: dict[str, str], clients: dict[str, tuple[str, str]]
) -> GuestSession:
    state, client = _STATES[record["State"]], record.get("RemoteHost", "")
    details = dict(_details(record))
    if record.get("Service") == _XRDP:
        process, client = clients.get(record["Display"].partition(".")[0], ("", ""))
        state = ACTIVE if process else DISCONNECTED
        details["connection"] = process
    return GuestSession(
        guest_id=record["Id"],
        key=f"{boot_id}/{record['Id']}",
        user=record["Name"],
        domain="",
        state=state,
        client=client,
        since=read_time(record.get("Timestamp", "")),
        idle=read_idle(record, uptime),
        details=details,
    )


def _details(record: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name in ("User", "Type", "Seat", "TTY", "Display", "Service", "Scope"):
        yield name.lower(), record.get(name, "")


def _address(endpoint: str) -> str:
    """The address of ``address:port``; IPv6 without brackets and without its IPv4 prefix."""
    return endpoint.rpartition(":")[0].strip("[]").removeprefix("::ffff:")
