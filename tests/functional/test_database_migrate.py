"""A deployment moves from the files of one service to PostgreSQL, a job in the middle of it."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conftest import ServiceFactory
from live.postgresql import PostgreSql
from live.rollout import begin_create, follow, remove_all
from live.service import Service, rdms, run_rdms, until
from openrdms.adapters import sql
from openrdms.model.audit import ASKED
from openrdms.security.audit_log import AuditLog
from openrdms.security.shared_key import make_key


@pytest.fixture
def service(tmp_path: Path, services: ServiceFactory) -> Service:
    made = services(tmp_path / "state", f"simulator://{tmp_path}/cluster?hosts=2")
    made.start()
    return made


def refuse(*arguments: str | Path) -> str:
    done = run_rdms([*map(str, arguments)])
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_all_of_it_moves_and_its_job_goes_on(
    service: Service, tmp_path: Path, postgresql: PostgreSql, services: ServiceFactory
) -> None:
    make_key(tmp_path / "key")
    shared = (
        *("--shared-key", tmp_path / "key"),
        *("--database-password-file", postgresql.password_file),
    )
    url = postgresql.url(postgresql.create_database(), password=False)
    source = f"sqlite:{service.state_dir}/records.sqlite"
    migrate = ("database", "migrate", "--from", source, "--to", url, *shared)

    assert "in use by process" in refuse(*migrate)
    done = follow(service.wire(), begin_create(service.wire(), "before", 5))
    assert done.state == "JOB_COMPLETED"
    guid = begin_create(service.wire(), "amid", 40)
    until("a part of the job is done", lambda: service.read_rows(_DONE, guid)[0][0] > 5)
    service.kill()
    verified = rdms("audit", "verify", "--state-dir", service.state_dir)["records"]

    moved = rdms(*migrate)
    assert moved["tables"]["desktops"] >= 5
    assert moved["tables"]["audit_log"] == verified
    assert "name --database" in refuse("serve", *service_arguments(service))
    assert "pg_dump" in refuse("backup", tmp_path / "backup", "--state-dir", service.state_dir)
    assert "name --database" in refuse(*migrate)

    options = ("--database", url, *map(str, shared))
    there = services(service.state_dir, f"simulator://{tmp_path}/cluster?hosts=2", options=options)
    there.start()
    wire = there.wire()
    report = follow(wire, guid)
    assert (report.state, report.succeeded) == ("JOB_COMPLETED", 40)
    remove_all(wire, "amid")
    remove_all(wire, "before")
    assert there.find_orphans() == []
    assert rdms("audit", "verify", "--state-dir", there.state_dir)["records"] > verified


_DONE = "SELECT count(*) FROM job_desktops WHERE job = ? AND done IS NOT NULL"


def service_arguments(service: Service) -> list[str]:
    """Of a service that cannot start."""
    return [
        *("--state-dir", str(service.state_dir), "--admin-user", "admin"),
        *("--admin-password-file", str(service.state_dir / "admin-password")),
    ]


def test_records_that_are_there_already_are_left_alone(
    service: Service, tmp_path: Path, postgresql: PostgreSql
) -> None:
    make_key(tmp_path / "key")
    service.stop()
    database = postgresql.create_records()
    with postgresql.connect(database) as records:
        records.execute("INSERT INTO tasks VALUES ('t', '', '', '', 'done', now(), now(), '')")
    url = postgresql.url(database, password=False)
    words = refuse(
        *("database", "migrate", "--from", f"sqlite:{service.state_dir}/records.sqlite"),
        *("--to", url, "--shared-key", tmp_path / "key"),
        *("--database-password-file", postgresql.password_file),
    )
    assert "has records already" in words
    assert "database" not in json.loads((service.state_dir / "service.json").read_text())
    with_password = postgresql.url(database)
    words = refuse(
        *("database", "migrate", "--from", f"sqlite:{service.state_dir}/records.sqlite"),
        *("--to", with_password, "--shared-key", tmp_path / "key"),
    )
    assert "must have no password" in words
    assert "the%20password" not in words
    service.start()


def test_an_audit_log_that_was_broken_moves_as_it_is(
    tmp_path: Path, postgresql: PostgreSql
) -> None:
    """And does not come to more harm where it was, which is in use until the last step."""
    make_key(tmp_path / "key")
    state = tmp_path / "state"
    head = state / "security" / "audit-head"
    head.parent.mkdir(parents=True)
    with closing(sql.open_store(f"sqlite:///{state / 'records.sqlite'}")) as store:
        log = AuditLog(store, head, _now)
        log.record("ann", "", "x/y/z", result=ASKED)
        head.unlink()
    url = postgresql.url(postgresql.create_database(), password=False)
    rdms(
        *("database", "migrate", "--from", f"sqlite:{state}/records.sqlite", "--to", url),
        *("--shared-key", tmp_path / "key"),
        *("--database-password-file", postgresql.password_file),
    )
    with closing(sql.open_store(f"sqlite:///{state / 'records.sqlite'}")) as store:
        again = AuditLog(store, head, _now).verify()
    assert (again.count, len(again.problems)) == (3, 1)  # asked, broken, unknown


def _now() -> datetime:
    return datetime.now(UTC)
