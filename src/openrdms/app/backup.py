"""``rdms backup`` and ``rdms restore``: what a service knows, apart from disks of VMs.

A backup is made beside a running service. Its parts are copied in an order that makes each later
one know all of what came before: keys and the head of the audit log, then how far jobs are, then
records. Jobs that ran are over when it comes back: hosts have gone on since, as after no crash.

What comes back is older than the world: pooled desktops may have had users since, so none of
them is handed out before it was prepared; sessions, tickets and RDP files may have been ended, so
all of them are. No key needs to change for that: those on disk sign the audit log and keep second
factors, and what signs tickets lives no longer than a process.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from openrdms import ports
from openrdms.adapters import sql
from openrdms.adapters.sql import backups
from openrdms.app import archive
from openrdms.app.core import now
from openrdms.app.databases import recall
from openrdms.app.state_directory import hold
from openrdms.frontends.admin.server import local_name
from openrdms.model import errors
from openrdms.model.audit import DONE
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.job import END_STATE, Job, Outcome, VmStatus
from openrdms.model.reason import ReasonCode, render_reason
from openrdms.security.audit_log import AuditLog
from openrdms.services.desktop_uses import DesktopUses

_DIRECTORIES = ("security", "tls")
_DATABASES = ("jobs.sqlite", "records.sqlite")
_PLAIN = "service.json"
_IMAGES = "images"
_OLD = frozenset({Use.READY, Use.TAKEN, Use.PREPARING})
_OPEN = frozenset({VmStatus.PENDING, VmStatus.IN_PROGRESS})
_RESTORED = "it ran when the backup was made that was restored; see rdms audit orphans"


def back_up(state_dir: Path, file: Path, *, images: bool) -> archive.Manifest:
    """Write ``file``; with the files of images when ``images``.

    NotSupported where the records are in a database of their own; OperationFailed, OSError.
    """
    if shared := recall(state_dir).database:
        raise errors.NotSupported(f"the records are in {shared}: back them up with pg_dump")
    if not (state_dir / "records.sqlite").exists():
        raise errors.NotFound(f"{state_dir} is no state directory of a service")
    with _place(file.parent) as place:
        for directory in _DIRECTORIES:
            _copy_files(state_dir / directory, place / directory)
        if (state_dir / _PLAIN).exists():
            shutil.copyfile(state_dir / _PLAIN, place / _PLAIN)
        for name in _DATABASES:
            if (state_dir / name).exists():
                backups.copy_database(state_dir / name, place / name)
        files = dict(_list_files(place))
        if images:
            versions = sorted((state_dir / _IMAGES).glob("[!.]*/*/*"))
            files |= {str(one.relative_to(state_dir)): one for one in versions}
        manifest = archive.Manifest(
            archive.FORMAT,
            metadata.version("openrdms"),
            now().isoformat(timespec="seconds"),
            backups.find_schema(place / "records.sqlite"),
            {name: archive.checksum(one) for name, one in files.items()},
        )
        archive.write(file, manifest, files)
    return manifest


def restore(file: Path, state_dir: Path) -> archive.Manifest:
    """Put what ``file`` holds into a state directory that no process has; what was there is moved
    to a directory beside. To be repeated when it was interrupted.

    InvalidOperation, OperationFailed, OSError: nothing was changed then.
    """
    with hold(state_dir), _place(state_dir) as place:
        manifest = archive.unpack(file, place)
        _check(manifest, place)
        _make_safe(place)
        stamp = now().strftime("%Y%m%dT%H%M%S.%fZ")
        replaced = state_dir / f"replaced-{stamp}"
        _move_away(state_dir, replaced)
        _move_unknown(state_dir / _IMAGES, place / "records.sqlite", replaced)
        for version in sorted((place / _IMAGES).glob("*/*")):
            _put_version(version, state_dir / _IMAGES, replaced)
        shutil.rmtree(place / _IMAGES, ignore_errors=True)
        for name in sorted(os.listdir(place), key=_DATABASES.__contains__):  # records come last
            (place / name).rename(state_dir / name)
        archive.sync(state_dir)
    return manifest


def _check(manifest: archive.Manifest, place: Path) -> None:
    if manifest.format != archive.FORMAT or "records.sqlite" not in manifest.files:
        raise errors.OperationFailed(f"a backup of format {manifest.format} cannot be read")
    schema = backups.find_schema(place / "records.sqlite")
    if not backups.is_known_schema(schema):
        raise errors.OperationFailed(
            f"its records have schema {schema}, of a newer version ({manifest.version})"
        )


def _make_safe(place: Path) -> None:
    """Nothing that was handed out holds any more."""
    records = place / "records.sqlite"
    store = sql.open_store(f"sqlite:///{records}")
    try:
        pooled = {
            one.alias.casefold()
            for one in store.list_collections()
            if one.type is CollectionType.POOLED
        }

        def take_back(use: DesktopUse) -> DesktopUse | None:
            if use.collection.casefold() not in pooled:
                return None
            if use.use is Use.WORK:  # what its job had finished is not READY when that goes on
                return replace(use, mark="")
            return use.becoming(Use.UNREADY, now()) if use.use in _OLD else None

        DesktopUses(store, now).change([use.name for use in store.list_uses()], take_back)
        for job in store.list_jobs(running=True):
            _end_job(store, job)
        log = AuditLog(store, place / "security" / "audit-head", now)
        log.record(local_name(os.geteuid()), "local", "restore", result=DONE)
    finally:
        store.close()
    backups.forget_handed_out(records)


def _end_job(store: ports.Store, job: Job) -> None:
    """Hosts have gone on since: what its rows have for not begun may be somebody's desktop by now,
    which neither going on nor taking back may touch.
    """
    open_rows = [row for row in store.list_job_desktops(job.guid) if row.status in _OPEN]
    given_up = {"status": VmStatus.CANCELLED, "error": _RESTORED, "reason": ReasonCode.CANCELLED}
    if open_rows:
        store.put_job_desktops([replace(row, **given_up) for row in open_rows], now())  # type: ignore[arg-type]  # fields of a row
    outcome = Outcome.CANCELLED if job.cancel_requested else Outcome.FAILED
    error = render_reason(ReasonCode.CANCELLED, _RESTORED)
    store.end_job(job.guid, END_STATE[job.action][outcome], error, now(), cancel_seen=True)


def _move_away(state_dir: Path, place: Path) -> None:
    """Databases go with their journals, which are no others'."""
    old = [path for name in _DATABASES for path in state_dir.glob(f"{name}*")]
    old += [path for name in (*_DIRECTORIES, _PLAIN) if (path := state_dir / name).exists()]
    if old:
        place.mkdir(mode=0o700)
    for path in old:
        path.rename(place / path.name)


def _move_unknown(images: Path, records: Path, replaced: Path) -> None:
    """Versions that came after the backup: a start removes what is not on record, and VMs may have
    overlays of them.
    """
    store = sql.open_store(f"sqlite:///{records}")
    try:
        known = {(one.name.casefold(), one.disk.parent.name) for one in store.list_images()}
    finally:
        store.close()
    for home in sorted(images.glob("[!.]*/*")):
        if (home.parent.name.casefold(), home.name) not in known:
            _move_version(home, replaced)


def _move_version(home: Path, replaced: Path) -> None:
    aside = replaced / _IMAGES / home.parent.name
    replaced.mkdir(mode=0o700, exist_ok=True)
    aside.mkdir(parents=True, exist_ok=True)
    home.rename(aside / home.name)


def _put_version(version: Path, images: Path, replaced: Path) -> None:
    """It joins others that are there; QEMU reads it by an account of its own."""
    home = images / version.parent.name / version.name
    if home.exists():
        _move_version(home, replaced)
    home.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    for file in version.iterdir():
        file.chmod(0o444)
    version.chmod(0o755)
    archive.sync(version)
    version.rename(home)
    archive.sync(home.parent)


@contextmanager
def _place(parent: Path) -> Iterator[Path]:
    """A directory of our own on the same file system."""
    with tempfile.TemporaryDirectory(dir=parent, prefix=".backup-") as place:
        yield Path(place)


def _copy_files(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    for file in sorted(source.glob("[!.]*")):
        with suppress(FileNotFoundError):  # removed just now
            shutil.copyfile(file, target / file.name)


def _list_files(place: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(place.rglob("*")):
        if file.is_file():
            yield str(file.relative_to(place)), file
