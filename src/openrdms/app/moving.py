"""A deployment that one service had alone goes to a database that several can share.

Its running jobs go on there: the engine begins their workflows anew, from their records.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from openrdms import config
from openrdms.adapters import sql
from openrdms.adapters.sql.moving import copy_records
from openrdms.app.core import now
from openrdms.app.databases import Databases, find_databases
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
        counts = copy_records(source.records, target.records)
        _carry_secrets(state_dir / "security", target, shared_key)
        hypervisors = config.recall(state_dir).hypervisors
        used = config.Remembered(hypervisors, database, password_file, shared_key)
        config.remember(state_dir, used)
    return counts


def _carry_secrets(security_dir: Path, target: Databases, shared_key: Path) -> None:
    """Keys under which records were made, sealed under the one that services share; OperationFailed
    when the audit log does not stand there as it did.
    """
    store = sql.open_store(target.records)
    try:
        shared = SharedKey(shared_key, store)
        if (audit_key := security_dir / AUDIT_KEY).exists():
            shared.put(AUDIT_KEY, bytes.fromhex(audit_key.read_text(encoding="ascii")))
        if (totp_key := security_dir / TOTP_KEY).exists():
            shared.put(TOTP_KEY, totp_key.read_bytes().strip())
        carry_nt_hashes(security_dir / "nt-hashes", shared)
        log = AuditLog(store, security_dir / "audit-head", now, key=shared.audit_key)
        log.record(local_name(os.geteuid()), "local", "database migrate", result=DONE)
        if problems := log.verify().problems:
            raise errors.OperationFailed(f"the audit log: {'; '.join(problems)}")
    finally:
        store.close()
