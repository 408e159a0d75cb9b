"""What one service commits the others hear: notices of PostgreSQL, sent in each transaction.

A notice says what has changed, by kind and key, never how. What may have been missed, because the
connection was lost, is not known: who listens is told so, and reads anew.
"""

from __future__ import annotations

import itertools
import json
import random
import secrets
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa
import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.change import Kind

_CHANNEL = "openrdms_changes"

_ROOM = 7000
"""Octets of a notice, of 7999 that the server takes."""

_BEAT = 1.0
"""Seconds of silence after which a notice is sent to see whether it is heard."""

_SILENCE = 3.0
"""Seconds after which a connection on which nothing is heard is given up."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two attempts to connect anew."""

_KINDS = {kind.value for kind in Kind}

_SEND = sa.text("SELECT pg_notify(:channel, part) FROM unnest(CAST(:parts AS text[])) AS part")

_log = structlog.get_logger(__name__)

Changes = Mapping[Kind, Iterable[str]]


class Notices(Protocol):
    """Between the services that have the same records."""

    def send(self, connection: sa.Connection, changes: Changes) -> int | None:
        """Have the others told when the transaction is committed; returns its number."""
        ...

    def note_told(self, number: int | None) -> None:
        """Of that transaction our own listeners have been told."""
        ...

    def listen(self, listener: ports.RecordListener, missed: Callable[[], None]) -> None:
        """See ports.RecordNotices."""
        ...

    def close(self) -> None: ...


class Alone:
    """There is nobody else."""

    def send(self, connection: sa.Connection, changes: Changes) -> int | None:
        """Nothing."""

    def note_told(self, number: int | None) -> None:
        """Nothing."""

    def listen(self, listener: ports.RecordListener, missed: Callable[[], None]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Speaking:
    """Tells the others, and listens to nobody: a command, which ends soon."""

    def __init__(self) -> None:
        self._origin = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def send(self, connection: sa.Connection, changes: Changes) -> int | None:
        """See Notices. One round trip, whatever it is."""
        number = next(self._numbers)
        parts = [json.dumps([self._origin, number, part]) for part in _split(changes)]
        if not parts:
            return None
        self._note_sent(number)
        connection.execute(_SEND, {"channel": _CHANNEL, "parts": parts})
        return number

    def _note_sent(self, number: int) -> None:
        """It is about to be sent."""

    def note_told(self, number: int | None) -> None:
        """Nothing: none is heard."""

    def listen(self, listener: ports.RecordListener, missed: Callable[[], None]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Listening(Speaking):
    """One connection on which a thread hears what others have committed.

    It hears its own as well, by which it knows that it hears. Of these the process was told by
    who committed, unless the answer to his COMMIT was lost: then it is told by the notice.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        beat: Callable[[str, str], None],
        tell: ports.RecordListener,
    ) -> None:
        """``connect`` opens a connection without transactions; ``beat`` sends a text on a channel
        by another one. What was committed from now on is heard when ``listen`` is called.
        """
        super().__init__()
        self._connect = connect
        self._beat = beat
        self._tell = tell
        self._sent: set[int] = set()
        self._untold: list[tuple[float, int, dict[str, list[str]]]] = []
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._connection = self._open()

    def note_told(self, number: int | None) -> None:
        """See Notices."""
        self._sent.discard(number or 0)

    def _note_sent(self, number: int) -> None:
        self._sent.add(number)

    def listen(self, listener: ports.RecordListener, missed: Callable[[], None]) -> None:
        """See ports.RecordNotices. Called once."""
        self._listener, self._missed = listener, missed
        self._thread = threading.Thread(target=self._run, name="record-notices", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear nothing more."""
        self._closed.set()
        if self._thread and self._thread is not threading.current_thread():
            with suppress(errors.RdmsError):
                self._beat(_CHANNEL, "")  # else it waits for something to be heard
            self._thread.join(_SILENCE)
        self._connection.close()

    def _open(self) -> psycopg.Connection[Any]:
        connection = self._connect()
        connection.execute(f"LISTEN {_CHANNEL}".encode())
        self._heard = time.monotonic()
        return connection

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._hear()
            except (psycopg.Error, errors.RdmsError) as error:
                self._reopen(error)
            except Exception:  # noqa: BLE001  any role may send what is none of our notices
                _log.exception("a notice was not understood")
                self._missed()

    def _hear(self) -> None:
        """What has come; then wait for more. OperationFailed when not even our own comes."""
        for notice in self._connection.notifies(timeout=0):
            self._heard = time.monotonic()
            if self._closed.is_set():
                return
            if notice.payload:
                self._take(notice.payload)
        self._tell_lost()
        if not self._comes():
            if time.monotonic() - self._heard > _SILENCE:
                raise errors.OperationFailed("nothing is heard")
            self._beat(_CHANNEL, "")

    def _comes(self) -> bool:
        """Whether anything does within a second or so, lest all services send one another theirs
        at the same time. The driver would wake ten times a second.
        """
        waiting = select.poll()
        waiting.register(self._connection.fileno(), select.POLLIN)
        return bool(waiting.poll(1000 * _BEAT * random.uniform(0.75, 1.25)))  # noqa: S311  no secret

    def _take(self, payload: str) -> None:
        origin, number, changes = json.loads(payload)
        if origin != self._origin:
            self._deliver(changes)
        elif number in self._sent:  # or its thread is about to tell
            self._untold.append((time.monotonic(), number, changes))

    def _tell_lost(self) -> None:
        """What was committed, and its thread does not know."""
        ripe = time.monotonic() - _BEAT
        due = [one for one in self._untold if one[0] <= ripe]
        self._untold = [one for one in self._untold if one[0] > ripe]
        lost = [(number, changes) for _, number, changes in due if number in self._sent]
        for _, changes in lost:
            self._deliver(changes)
        self._sent.difference_update([number for number, _ in lost])

    def _deliver(self, changes: Mapping[str, list[str]]) -> None:
        known = [(Kind(kind), keys) for kind, keys in changes.items() if kind in _KINDS]
        for kind, keys in known:
            for listener in (self._tell, self._listener):
                try:
                    listener(kind, keys)
                except Exception:  # noqa: BLE001  whatever one does, the others are told
                    _log.exception("a listener failed", kind=kind)

    def _reopen(self, error: Exception) -> None:
        _log.warning("changes of other services are not heard", reason=str(error).strip())
        self._connection.close()
        pause = _FIRST_PAUSE
        while not self._closed.is_set():
            try:
                self._connection = self._open()
                break
            except psycopg.Error:
                self._closed.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return
        _log.info("changes of other services are heard again")
        self._missed()


def _split(changes: Changes) -> Iterator[dict[str, list[str]]]:
    """In parts that are small enough for a notice each."""
    part: dict[str, list[str]] = {}
    size = 0
    for kind, keys in changes.items():
        for key in keys:
            cost = len(json.dumps(key)) + len(kind) + len('"": [], ')
            if part and size + cost > _ROOM:
                yield part
                part, size = {}, 0
            part.setdefault(kind.value, []).append(key)
            size += cost
    if part:
        yield part
