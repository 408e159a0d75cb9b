"""A deployment that one service had alone goes to a database that several can share.

Its running jobs go on there: the engine begins their workflows anew, from their records.
"""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from openrdms import config, ports
from openrdms.adapters import sql
from openrdms.adapters.sql.moving import copy_records
from openrdms.app.core import now
from openrdms.app.databases import Databases, find_databases, recall
from openrdms.app.logs import log_to_stderr
from openrdms.app.state_directory import hold
from openrdms.frontends.admin.server import local_name
from openrdms.model import errors
from openrdms.model.audit import DONE
from openrdms.security.audit_log import AuditLog
from openrdms.security.nt_hashes import carry_nt_hashes
from openrdms.security.shared_key import AUDIT_KEY, TOTP_KEY, SharedKey


def move(
    state_dir: Path, database: str, password_file: Path | None, shared_key: Path
) -> dict[str, int]:
    """Rows of each table that are now in ``database``, which the next service here is to use.

    NotFound, InvalidParameter; InvalidOperation when a service is running, or records are there
    already; OperationFailed: the service goes on with what it had.
    """
    if not (state_dir / "records.sqlite").exists():
        raise errors.NotFound(f"{state_dir} is no state directory of a service")
    log_to_stderr(logging.WARNING)
    with hold(state_dir):
        source = find_databases(state_dir, None, None, None)
        target = find_databases(state_dir, database, password_file, shared_key)
        with closing(sql.open_store(target.records)) as store:
            shared = SharedKey(shared_key, store)
            known = _find_problems(source, state_dir / "security")
            counts = copy_records(source.records, target.records)
            _carry_secrets(state_dir / "security", shared)
            _check_audit_log(store, state_dir / "security", shared, known)
        hypervisors = recall(state_dir).hypervisors
        used = config.Remembered(hypervisors, database, password_file, shared_key)
        config.remember(state_dir, used)
    return counts


def _find_problems(source: Databases, security_dir: Path) -> frozenset[str]:
    """What is wrong with the audit log as it is; nobody goes on with its open calls."""
    with closing(sql.open_store(source.records)) as store:
        log = AuditLog(store, security_dir / "audit-head", now)
        return frozenset(log.verify().problems)


def _carry_secrets(security_dir: Path, shared: SharedKey) -> None:
    """Keys under which records were made, sealed under the one that services share."""
    if (audit_key := security_dir / AUDIT_KEY).exists():
        shared.put(AUDIT_KEY, bytes.fromhex(audit_key.read_text(encoding="ascii")))
    if (totp_key := security_dir / TOTP_KEY).exists():
        shared.put(TOTP_KEY, totp_key.read_bytes().strip())
    carry_nt_hashes(security_dir / "nt-hashes", shared)


def _check_audit_log(
    store: ports.AuditStore, security_dir: Path, shared: SharedKey, known: frozenset[str]
) -> None:
    """Record the move; OperationFailed when the log does not stand there as it did.

    The note of the last record stays that of the source, which goes on when this is the end.
    """
    with TemporaryDirectory() as place:
        head = shutil.copy(security_dir / "audit-head", place)
        log = AuditLog(store, Path(head), now, key=shared.audit_key)
        log.record(local_name(os.geteuid()), "local", "database migrate", result=DONE)
        problems = [one for one in log.verify().problems if one not in known]
    if problems:
        raise errors.OperationFailed(f"the audit log: {'; '.join(problems)}")
