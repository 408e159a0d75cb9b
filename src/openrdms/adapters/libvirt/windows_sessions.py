"""Output of ``query session`` and ``query user`` as sessions. No I/O.

Both print fixed columns: a mark in the first place, names, then the id, right-aligned and followed
by exactly two blanks. Headers and states are in the system's language and are not read: a session
whose user has no client is the one without a session name. Logon times are in the system's language
and time zone: they only tell sessions apart, and since when a user is logged on the agent says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from openrdms.model.host import GuestSession

ACTIVE, DISCONNECTED = 0, 4
"""ConnectState (facts c.5)."""

_ID = re.compile(r"\s(\d+)\s\s(?=\S)")
_USER_ROW = re.compile(
    r"^[ >](?P<user>\S.*?)\s+(?:\S+\s+)?(?P<id>\d+)\s\s\S+\s+(?P<idle>\S+)\s+(?P<logon>\S.*)$"
)
_IDLE = re.compile(r"(?:(?:(\d{1,4})\+)?(\d{1,2}):)?(\d{1,2})", re.ASCII)
"""Days, hours, minutes. Of more days it counts where it does not know, as from no date at all."""


class _UserRow(NamedTuple):
    """A row of ``query user``, its times as they are printed."""

    idle: str = ""
    logon: str = ""


def parse_sessions(sessions: str, users: str, logons: Mapping[str, datetime]) -> list[GuestSession]:
    """Sessions of users from the output of ``query session`` and ``query user``.

    The key has the logon time, because Windows gives session ids again. ``logons`` are the first
    of each user, from ``read_logons``: they say nothing of who has several sessions.
    """
    rows = dict(_user_rows(users))
    found = [(name, user, number) for name, user, number in _rows(sessions) if user]
    count = Counter(user.casefold() for _, user, _ in found)
    return [
        GuestSession(
            guest_id=session_id,
            key=f"{session_id}/{user.casefold()}/{rows.get(session_id, _UserRow()).logon}",
            user=user,
            domain="",
            state=ACTIVE if name else DISCONNECTED,
            since=logons.get(user.casefold()) if count[user.casefold()] == 1 else None,
            idle=read_idle(rows.get(session_id, _UserRow()).idle),
        )
        for name, user, session_id in found
    ]


def read_logons(users: Iterable[Mapping[str, Any]]) -> dict[str, datetime]:
    """By case-folded name, from the answer to guest-get-users: each user's first logon."""
    logons: dict[str, datetime] = {}
    for one in users:
        try:
            moment = datetime.fromtimestamp(float(one["login-time"]), UTC)
        except (OverflowError, OSError, ValueError):
            continue
        logons[str(one["user"]).casefold()] = moment
    return logons


def read_idle(text: str) -> timedelta | None:
    """The column of ``query user``: 5, 1:20, 2+03:15, or a point for less than a minute.

    None for the word, in whatever language, that says that it is not known.
    """
    if text == ".":
        return timedelta()
    found = _IDLE.fullmatch(text)
    if found is None:
        return None
    days, hours, minutes = (int(group or 0) for group in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


def _rows(text: str) -> Iterator[tuple[str, str, str]]:
    """Session name, user and id of each row; a name that is absent is ""."""
    for line in text.splitlines()[1:]:
        found = _ID.search(line)
        if found is None:
            continue
        names = line[1 : found.start()]
        name, rest = ("", names) if names[:1] in ("", " ") else _split(names)
        yield name, rest.strip(), found[1]


def _split(names: str) -> tuple[str, str]:
    name, _, rest = names.partition(" ")
    return name, rest


def _user_rows(text: str) -> Iterator[tuple[str, _UserRow]]:
    """By id, the times of each row of ``query user``."""
    for line in text.splitlines()[1:]:
        if found := _USER_ROW.match(line):
            yield found["id"], _UserRow(found["idle"], found["logon"].strip())
