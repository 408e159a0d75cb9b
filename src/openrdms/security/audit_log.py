"""The audit log: append only, hash-chained, on disk before the caller goes on.

Who has to wait for a commit shares it with all who came while the one before was under way.

The number of records and the hash of the last one also stand in a file of their own, written
after each commit. It shows that records are missing at the end, as after an older copy of the
database was put back. It proves nothing against somebody who can write both: whoever must be
safe from the service's own account keeps what `rdms audit verify` prints somewhere else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.audit import (
    ASKED,
    BROKEN,
    DENIED,
    AuditedCall,
    AuditHead,
    AuditQuery,
    AuditRecord,
    JsonValue,
    chain,
    follow,
)
from openrdms.security import disclosure

SIGN_IN = "sign in"
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


class AuditLog:
    """Writes and reads the log. Safe from any thread; one process at a time."""

    def __init__(self, store: ports.AuditStore, head_file: Path, clock: ports.Clock) -> None:
        """Records it when records are missing that ``head_file`` knows of."""
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: list[_Waiting] = []
        self._led = False
        last = store.last_audit()
        self._head = AuditHead(last.sequence, last.hash) if last else AuditHead()
        self._noted = _HeadFile(head_file)
        problem = self._compare(self._noted.read())
        self._noted.open()
        if problem:
            self.record("", "", _CHAIN, result=BROKEN, reason=problem)
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

    def record_refusal(self, name: str, address: str, scheme: str, reason: str) -> None:
        """A sign-in that failed. OperationFailed."""
        what = f"{SIGN_IN}/{disclosure.clean(scheme)}"
        self.record(name, address, what, result=DENIED, reason=reason)

    def list_calls(self, query: AuditQuery) -> list[AuditedCall]:
        """What was asked or refused, with what came of it, in order."""
        return self._store.list_audited_calls(query)

    def verify(self) -> Verification:
        """Walk the whole chain."""
        noted = self._noted.read()
        head, told = AuditHead(), list[str]()
        for page in self._pages():
            head, problem = follow(head, page)
            if problem:
                return Verification(head.count, head.hash, (*told, problem))
            told += [
                f"record {record.sequence}: {record.reason}"
                for record in page
                if (record.what, record.result) == (_CHAIN, BROKEN)
            ]
        problem = self._compare(noted)
        return Verification(head.count, head.hash, (*told, problem) if problem else tuple(told))

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
            raise errors.OperationFailed("the audit log cannot be written")
        return waiting.written

    def _lead(self) -> None:
        """Write all that wait, then let the first of those who came meanwhile do the same."""
        with self._lock:
            batch, self._queue = self._queue, []
        try:
            self._write(batch)
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
        records = chain(self._head, [waiting.record for waiting in batch])
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
