"""Audit records of what was let in while the records were away: on disk before it goes on, and in
the log when they are back. Whoever can write this file could leave them out; so could he stop the
service.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

from openrdms import config, ports
from openrdms.model import errors
from openrdms.model.audit import DONE, JsonValue
from openrdms.security.audit_log import AuditLog


class LateRecords:
    """Safe from any thread. What dies in between is written twice, never not at all."""

    def __init__(self, audit_log: AuditLog, file: Path, clock: ports.Clock) -> None:
        self._audit_log = audit_log
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()

    def note(self, who: str, address: str, what: str, **on: JsonValue) -> None:
        """It is to be in the log. OperationFailed when it cannot be kept."""
        at = self._clock().isoformat(timespec="milliseconds")
        line = f"\n{json.dumps([who, address, what, on, at])}\n".encode()  # after half a one, too
        with self._lock:
            try:
                handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
                try:
                    written = os.write(handle, line)
                    if written < len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(handle)
                finally:
                    os.close(handle)
            except OSError as error:
                raise errors.OperationFailed(f"{self._file}: {error.strerror}") from error

    def write(self) -> None:
        """Put all into the log. OperationFailed, RecordsUnavailable: the rest is kept."""
        with self._lock:
            if not self._file.exists():
                return
            lines = self._file.read_text(encoding="utf-8").splitlines(keepends=True)
            try:
                while lines:
                    self._record(lines[0])
                    del lines[0]
            finally:
                config.write_atomically(self._file, "".join(lines), 0o600)
            self._file.unlink()

    def _record(self, line: str) -> None:
        try:
            who, address, what, on, at = json.loads(line)
        except ValueError:  # none, or half a line: nobody was let in by it
            return
        self._audit_log.record(who, address, what, on, {"at": at}, result=DONE)
