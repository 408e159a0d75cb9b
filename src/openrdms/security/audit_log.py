"""The audit log: append only, hash-chained, on disk before the caller goes on.

Services that share their records write one chain, each behind the last record of whomever; every
one of them notes its own last, and a note that is behind does no harm.

Who has to wait for a commit shares it with all who came while the one before was under way.

The chain's hashes are made with a key, and the number of records and the hash of the last one are
noted after each commit; both stand in files beside, readable by the service alone. So records that
were changed, put in or taken away by somebody who has the database alone are found, also at the
end. docs/accounts.md says against whom this proves nothing.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from openrdms import config, ports
from openrdms.model import errors
from openrdms.model.audit import (
    ASKED,
    BROKEN,
    DENIED,
    UNKNOWN,
    AuditedCall,
    AuditHead,
    AuditQuery,
    AuditRecord,
    JsonValue,
    chain,
    follow,
)
from openrdms.security import disclosure
from openrdms.security.refusals import Refusals, Subject

SIGN_IN = "sign in"

MOST_SUBJECTS = 1000
MOST_STRANGERS = 60
"""Refusals in a minute that are told apart: of callers, and of sign-ins."""
_CHAIN = "audit log"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Verification:
    """What a walk along the chain came to; nothing is wrong when there are no ``problems``."""

    count: int
    hash: str
    problems: tuple[str, ...]


class _Waiting:
    """A record on its way to the disk; ``written`` stays None when it did not get there.

    Its thread sleeps until ``turn``: then it leads, or somebody has written the record for it.
    """

    def __init__(self, record: AuditRecord) -> None:
        self.record = record
        self.turn = threading.Event()
        self.leads = False
        self.written: AuditRecord | None = None
        self.error: errors.RdmsError = errors.OperationFailed("the audit log cannot be written")


class AuditLog:
    """Writes and reads the log. Safe from any thread; one process at a time for a head file."""

    def __init__(
        self,
        store: ports.AuditStore,
        head_file: Path,
        clock: ports.Clock,
        *,
        key: bytes | None = None,
        member: str = "",
    ) -> None:
        """The key stands beside ``head_file``; both are made at first.

        Records it when records are missing that ``head_file`` knows of, and that nobody knows
        how calls ended which a service before has left open.

        A ``member`` of several brings the ``key`` of all. It has no note in its first life, and
        which calls a dead one has left open is for ``close_calls``.
        """
        self._store = store
        self._clock = clock
        self._member = member
        self._refusals = Refusals(clock, self._write_count, MOST_SUBJECTS)
        # Apart, so that nobody hides a caller's refusals among those of strangers.
        self._strangers = Refusals(clock, self._write_count, MOST_STRANGERS)
        self._lock = threading.Lock()
        self._queue: list[_Waiting] = []
        self._led = False
        self._late: dict[int, Callable[[], int]] = {}
        """What writes the ends of calls, by their sequences, that could not be written."""
        last = store.last_audit()
        self._head = AuditHead(last.sequence, last.hash) if last else AuditHead()
        self._noted = _HeadFile(head_file)
        noted = self._noted.read()
        problems = [self._compare(noted)] if noted or not member else []
        self._noted.open()
        key_file = head_file.with_name("audit-key")
        if key is None and last and not key_file.exists():
            problems.append(f"{key_file.name} is gone")
        self._key = key or _read_key(key_file)
        for problem in filter(None, problems):
            self.record("", "", _CHAIN, result=BROKEN, reason=problem)
        if not member:
            self.close_calls("")
        self._noted.write(self._head)

    def record(
        self,
        who: str,
        address: str,
        what: str,
        on: Mapping[str, JsonValue] | None = None,
        parameters: Mapping[str, JsonValue] | None = None,
        *,
        result: str,
        reason: str = "",
        of: int | None = None,
    ) -> int:
        """Write a record and return its sequence when it is on disk. OperationFailed.

        ``on`` and ``parameters`` are what may be disclosed; texts are made printable here.
        """
        self._catch_up()
        who, address, reason = map(disclosure.clean, (who, address, reason))
        now = self._clock()
        record = AuditRecord(
            0, now, who, address, what, dict(on or {}), dict(parameters or {}), result, reason, of
        )
        written = self._append(record)
        if result != ASKED:
            about = {"on": record.on, "result": result, "reason": reason}
            _log.info(what, caller=who, address=address, **about)
        return written.sequence

    def record_end(
        self,
        asked: int,
        who: str,
        address: str,
        what: str,
        on: Mapping[str, JsonValue],
        outputs: Mapping[str, JsonValue],
        *,
        result: str,
        reason: str,
    ) -> None:
        """Write how the call of that sequence has ended: later, when that cannot be done now.

        What was done is done, and to say that it failed would be a lie. When the service dies
        before it is written nobody knows how it ended (``close_calls``).
        """
        subject = (who, address, what, on)
        try:
            self.record(*subject, outputs, result=result, reason=reason, of=asked)
        except errors.RdmsError as error:
            _log.error("an audit record waits", of=asked, result=result, error=str(error))
            noted = {**outputs, "at": self._clock().isoformat(timespec="milliseconds")}
            write = partial(self.record, *subject, noted, result=result, reason=reason, of=asked)
            with self._lock:
                self._late[asked] = write

    def write_late(self) -> None:
        """Write the ends of calls that could not be written. OperationFailed: the rest is kept."""
        if not self._late:
            return
        with self._lock:
            late, self._late = self._late, {}
        try:
            for asked in sorted(late):
                [call] = self._store.list_audited_calls(AuditQuery(limit=1, before=asked + 1))
                if call.answer is None:  # else the attempt that seemed to fail is on record
                    late[asked]()
                del late[asked]
        finally:
            with self._lock:
                self._late |= late

    def deny(
        self,
        who: str,
        address: str,
        what: str,
        on: Mapping[str, JsonValue] | None = None,
        parameters: Mapping[str, JsonValue] | None = None,
        reason: str = "",
    ) -> None:
        """Record a refusal, or count it when the same was refused within the last minute."""
        if self._refusals.note((disclosure.clean(who), address, what)):
            self.record(who, address, what, on, parameters, result=DENIED, reason=reason)

    def _catch_up(self) -> None:
        self.write_late()
        self._refusals.write_counts()
        self._strangers.write_counts()

    def record_refusal(self, name: str, address: str, scheme: str, reason: str) -> None:
        """A sign-in that failed; ``reason`` quotes nothing that was given. OperationFailed."""
        what = f"{SIGN_IN}/{disclosure.clean(scheme)}"
        if self._strangers.note((disclosure.clean(name), address, what)):
            self.record(name, address, what, result=DENIED, reason=reason)

    def list_calls(self, query: AuditQuery) -> list[AuditedCall]:
        """What was asked or refused, with what came of it, in order."""
        self._catch_up()
        return self._store.list_audited_calls(query)

    def verify(self) -> Verification:
        """Walk the whole chain."""
        self._catch_up()
        noted = self._noted.read()
        head, told = AuditHead(), list[str]()
        for page in self._pages():
            head, problem = follow(self._key, head, page)
            if problem:
                return Verification(head.count, head.hash, (*told, problem))
            told += [
                f"record {record.sequence}: {record.reason}"
                for record in page
                if (record.what, record.result) == (_CHAIN, BROKEN)
            ]
        problem = self._compare(noted)
        return Verification(head.count, head.hash, (*told, problem) if problem else tuple(told))

    def close_calls(self, service: str) -> None:
        """Give every call an end that this dead service did not live to tell."""
        for asked in self._store.list_unanswered_audit(service):
            self.record(
                asked.who,
                asked.address,
                asked.what,
                asked.on,
                result=UNKNOWN,
                reason="the service ended",
                of=asked.sequence,
            )

    def _write_count(self, subject: Subject, times: int) -> None:
        self.record(*subject, parameters={"times": times}, result=DENIED)

    def _pages(self) -> Iterator[list[AuditRecord]]:
        after = 0
        while page := self._store.list_audit(after):
            yield page
            after = page[-1].sequence

    def _compare(self, noted: AuditHead | None) -> str:
        """How the records differ from what was noted of them, "" when they only go on."""
        last = self._store.last_audit()
        count = last.sequence if last else 0
        if noted is None:
            return f"{self._noted.file.name} is gone or no longer readable" if last else ""
        if noted.count > count:
            return f"{noted.count} records were noted, {count} are left"
        then = self._store.list_audit(noted.count - 1, 1) if noted.count else []
        if then and then[0].hash != noted.hash:
            return f"record {noted.count} is not the one that was noted"
        return ""

    def _append(self, record: AuditRecord) -> AuditRecord:
        waiting = _Waiting(record)
        with self._lock:
            self._queue.append(waiting)
            waiting.leads, self._led = not self._led, True
        if not waiting.leads:
            waiting.turn.wait()
        if waiting.leads:
            self._lead()
        if waiting.written is None:
            raise waiting.error
        return waiting.written

    def _lead(self) -> None:
        """Write all that wait, then let the first of those who came meanwhile do the same."""
        with self._lock:
            batch, self._queue = self._queue, []
        try:
            self._write(batch)
        except errors.RecordsUnavailable as error:
            for waiting in batch:
                waiting.error = errors.RecordsUnavailable(str(error))
        finally:
            with self._lock:
                self._led = bool(self._queue)
                if self._led:
                    self._queue[0].leads = True
                    self._queue[0].turn.set()
            for waiting in batch:
                waiting.turn.set()

    def _write(self, batch: list[_Waiting]) -> None:
        """One transaction."""
        new = [waiting.record for waiting in batch]
        records: Sequence[AuditRecord]
        if self._member:
            records = self._store.chain_audit(partial(chain, self._key, records=new), self._member)
        else:
            records = chain(self._key, self._head, new)
            self._store.append_audit(records)
        for waiting, record in zip(batch, records, strict=True):
            waiting.written = record
        self._head = AuditHead(records[-1].sequence, records[-1].hash)
        self._noted.write(self._head)


class _HeadFile:
    """Number of records and hash of the last one, on one line of fixed length."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def read(self) -> AuditHead | None:
        """None when there is nothing to read."""
        try:
            count, digest = self.file.read_text(encoding="ascii").split()
            return AuditHead(int(count), digest)
        except (OSError, ValueError):
            return None

    def open(self) -> None:
        """OperationFailed when it cannot be written."""
        try:
            self.file.parent.mkdir(mode=0o700, exist_ok=True)
            self._handle = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o600)
        except OSError as error:
            raise errors.OperationFailed(f"{self.file}: {error.strerror}") from error

    def write(self, head: AuditHead) -> None:
        """One small write in place: what is behind after a power failure does no harm."""
        try:
            os.pwrite(self._handle, f"{head.count:020d} {head.hash}\n".encode(), 0)
        except OSError as error:
            _log.warning("audit head not written", file=str(self.file), error=str(error))


def _read_key(file: Path) -> bytes:
    """The key of the chain, made when there is none. OperationFailed."""
    try:
        if not file.exists():
            config.write_atomically(file, secrets.token_hex(32), 0o600)
        return bytes.fromhex(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise errors.OperationFailed(f"{file}: {error}") from error
