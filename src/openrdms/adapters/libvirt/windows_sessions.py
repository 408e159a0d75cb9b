"""Output of ``query session`` and ``query user`` as sessions. No I/O.

Both print fixed columns: a mark in the first place, names, then the id, right-aligned and followed
by exactly two blanks. Headers and states are in the system's language and are not read: a session
whose user has no client is the one without a session name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from openrdms.model.host import GuestSession

ACTIVE, DISCONNECTED = 0, 4
"""ConnectState (facts c.5)."""

_ID = re.compile(r"\s(\d+)\s\s(?=\S)")
_USER_ROW = re.compile(
    r"^[ >](?P<user>\S.*?)\s+(?:\S+\s+)?(?P<id>\d+)\s\s\S+\s+\S+\s+(?P<logon>\S.*)$"
)


def parse_sessions(sessions: str, users: str) -> list[GuestSession]:
    """Sessions of users from the output of ``query session`` and ``query user``.

    The key has the logon time, because Windows gives session ids again.
    """
    logons = dict(_logons(users))
    return [
        GuestSession(
            guest_id=session_id,
            key=f"{session_id}/{user.casefold()}/{logons.get(session_id, '')}",
            user=user,
            domain="",
            state=ACTIVE if name else DISCONNECTED,
        )
        for name, user, session_id in _rows(sessions)
        if user
    ]


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


def _logons(text: str) -> Iterator[tuple[str, str]]:
    """Id and logon time of each row of ``query user``."""
    for line in text.splitlines()[1:]:
        if found := _USER_ROW.match(line):
            yield found["id"], found["logon"].strip()
