"""What a backup has, and what may not be restored; with a small state directory and no service."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from openrdms.adapters import sql
from openrdms.adapters.sql import backups
from openrdms.app import backup
from openrdms.app.state_directory import hold
from openrdms.model import errors
from openrdms.model.account import Role
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import Use
from openrdms.model.host import DiskKind
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.security.accounts import Accounts
from openrdms.security.audit_log import AuditLog


def now() -> datetime:
    return datetime.now(UTC)


def make_image(place: Path, version: int) -> ImageVersion:
    return ImageVersion(
        name="tiny", version=version, disk=place.with_name(str(version)) / "disk.qcow2",
        virtual_bytes=1, sha256="", os=GuestOs.LINUX, firmware=Firmware.BIOS, memory_mib=1,
        vcpus=1, disk_bus=DiskBus.VIRTIO, created=now(),
    )  # fmt: skip


def make_desktop(name: str) -> Desktop:
    return Desktop(
        name=name, host="host1", uuid=uuid4(), mac="", collection="pool", home="pool",
        image="tiny@1", disk_kind=DiskKind.LINKED, generation=1, status=DesktopStatus.SUCCESS,
    )  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """With one account."""
    place = tmp_path / "state"
    (place / "security").mkdir(parents=True)
    (place / "tls").mkdir()
    (place / "tls" / "key.pem").write_text("key")
    version = place / "images" / "Tiny" / "2"
    version.mkdir(parents=True)
    (version / "disk.qcow2").write_text("disk")
    (version / "vmlinuz").write_text("kernel")
    (version.with_name("1")).mkdir()
    (version.with_name("1") / "vmlinuz").hardlink_to(version / "vmlinuz")
    unfinished = place / "images" / ".new-1"
    unfinished.mkdir()
    (unfinished / "disk.qcow2").write_text("half")
    store = sql.open_store(f"sqlite:///{place / 'records.sqlite'}")
    AuditLog(store, place / "security" / "audit-head", now)
    Accounts(store, place / "security" / "nt-hashes", now).add("ann", Role.USER)
    for number in (1, 2):
        store.add_image(make_image(version, number))
    store.close()
    return place


def find_accounts(place: Path) -> list[str]:
    with closing(sqlite3.connect(place / "records.sqlite")) as records:
        return [row[0] for row in records.execute("SELECT name FROM accounts")]


def test_images_are_in_it_when_they_are_asked_for(state: Path, tmp_path: Path) -> None:
    small = backup.back_up(state, tmp_path / "small", images=False)
    large = backup.back_up(state, tmp_path / "large", images=True)
    files = ["1/vmlinuz", "2/disk.qcow2", "2/vmlinuz"]  # one file, had by two versions
    assert set(large.files) - set(small.files) == {f"images/Tiny/{file}" for file in files}
    assert {"records.sqlite", "security/audit-key", "tls/key.pem"} <= set(small.files)
    backup.restore(tmp_path / "large", tmp_path / "new")
    disk = tmp_path / "new" / "images" / "Tiny" / "2" / "disk.qcow2"
    assert disk.read_text() == "disk"
    assert stat.S_IMODE(disk.stat().st_mode) == 0o444  # QEMU has an account of its own
    assert stat.S_IMODE(disk.parent.stat().st_mode) & 0o055 == 0o055
    assert find_accounts(tmp_path / "new") == ["ann"]


def test_what_a_job_had_finished_is_prepared_before_it_is_given(
    state: Path, tmp_path: Path
) -> None:
    """It may have had users since: when the job that goes on lets go of it, it is not READY."""
    records = f"sqlite:///{state / 'records.sqlite'}"
    store = sql.open_store(records)
    store.create_collection(Collection("pool", "p", CollectionType.POOLED, is_managed=True))
    store.put_desktops([make_desktop("vd-1")])
    done = {"use": Use.WORK, "claim": "{JOB}", "mark": "as it was"}
    store.change_uses(["vd-1"], lambda use: replace(use, **done))  # type: ignore[arg-type]
    store.close()
    file = tmp_path / "backup"
    backup.back_up(state, file, images=False)
    backup.restore(file, state)
    store = sql.open_store(records)
    assert [use.use for use in store.list_uses()] == [Use.WORK]
    assert [use.use for use in store.release_uses("{JOB}", now())] == [Use.UNREADY]
    store.close()


def test_what_was_there_is_moved_aside(state: Path, tmp_path: Path) -> None:
    backup.back_up(state, tmp_path / "file", images=False)
    (state / "records.sqlite-wal").write_text("of the old records")
    backup.restore(tmp_path / "file", state)
    (replaced,) = state.glob("replaced-*")
    assert (replaced / "records.sqlite-wal").read_text() == "of the old records"
    assert (replaced / "tls" / "key.pem").exists()
    assert find_accounts(state) == ["ann"]
    assert stat.S_IMODE((state / "records.sqlite").stat().st_mode) == 0o600
    assert (state / "images" / "Tiny" / "2" / "disk.qcow2").exists()


def test_versions_of_images_join_those_that_are_there(state: Path, tmp_path: Path) -> None:
    backup.back_up(state, tmp_path / "file", images=True)
    version = state / "images" / "Tiny" / "2"
    (version / "disk.qcow2").write_text("damaged, too")
    backup.restore(tmp_path / "file", state)
    assert (version / "disk.qcow2").read_text() == "disk"
    (replaced,) = state.glob("replaced-*")
    assert (replaced / "images" / "Tiny" / "2" / "disk.qcow2").read_text() == "damaged, too"


def test_versions_that_the_backup_does_not_know_are_kept_aside(state: Path, tmp_path: Path) -> None:
    """A start would remove them, and with them what disks of VMs are overlays of."""
    backup.back_up(state, tmp_path / "file", images=False)
    images = state / "images"
    for name in ("Tiny/3", "Other/1"):
        (images / name).mkdir(parents=True)
        (images / name / "disk.qcow2").write_text(name)
    backup.restore(tmp_path / "file", state)
    (replaced,) = state.glob("replaced-*")
    left = {str(one.relative_to(images)) for one in images.glob("[!.]*/*")}
    assert left == {"Tiny/1", "Tiny/2"}
    for name in ("Tiny/3", "Other/1"):
        assert (replaced / "images" / name / "disk.qcow2").read_text() == name


def test_a_directory_that_a_process_has_is_left_alone(state: Path, tmp_path: Path) -> None:
    backup.back_up(state, tmp_path / "file", images=False)
    with hold(state), pytest.raises(errors.InvalidOperation, match="in use"):
        backup.restore(tmp_path / "file", state)
    assert not [*state.glob("replaced-*")]


def test_records_of_a_newer_version_are_refused(state: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(state / "records.sqlite")) as records, records:
        records.execute("UPDATE alembic_version SET version_num = '9999'")
    backup.back_up(state, tmp_path / "file", images=False)
    with pytest.raises(errors.OperationFailed, match="newer version"):
        backup.restore(tmp_path / "file", tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"lock"}


def test_a_damaged_backup_changes_nothing(state: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    backup.back_up(state, file, images=False)
    octets = bytearray(file.read_bytes())
    octets[octets.rindex(b"SQLite format 3") + 5000] ^= 1
    file.write_bytes(octets)
    before = sorted(path.name for path in state.iterdir())
    with pytest.raises(errors.OperationFailed, match="damaged"):
        backup.restore(file, state)
    assert sorted(path.name for path in state.iterdir()) == sorted([*before, "lock"])


def test_nothing_but_a_state_directory_is_backed_up(tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound):
        backup.back_up(tmp_path, tmp_path / "file", images=False)
    assert not (tmp_path / "file").exists()


def test_a_damaged_record_of_what_was_used_is_told(state: Path, tmp_path: Path) -> None:
    (state / "service.json").write_text('{"hypervisors": ')
    with pytest.raises(errors.OperationFailed, match=r"service\.json"):
        backup.back_up(state, tmp_path / "file", images=False)


def test_known_schemas(state: Path) -> None:
    assert backups.is_known_schema(backups.find_schema(state / "records.sqlite"))
    assert not backups.is_known_schema("9999")
