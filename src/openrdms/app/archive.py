"""The file that a backup is: a tar of files, the first of which lists all others with checksums."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from openrdms.model import errors

FORMAT = 1
_LIST = "manifest.json"
_NAME = re.compile(
    r"(?:(?:jobs|records)\.sqlite|service\.json|(?:security|tls)/[^/\0]+"
    r"|images/[A-Za-z0-9][\w.-]*/[0-9]+/[a-z][a-z0-9.]*)",
    re.ASCII,
)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Manifest:
    """``made`` in ISO 8601, ``schema`` the revision of the records, ``files`` SHA-256 by name."""

    format: int
    version: str
    made: str
    schema: str
    files: Mapping[str, str]


def checksum(file: Path) -> str:
    """Its SHA-256 in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write(target: Path, manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Whole or not at all, also after a crash; readable by its owner alone. OSError."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            with _writing(stream) as archive:
                _add_list(archive, json.dumps(asdict(manifest), indent=1).encode())
                for name, file in files.items():
                    archive.add(file, name, recursive=False)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    sync(target.parent)


def unpack(source: Path, place: Path) -> Manifest:
    """Put the files below ``place``, which is empty, each checked. OperationFailed, OSError.

    Nothing of the tar but names of ours and contents is used.
    """
    with _opened(source) as archive:
        members = iter(archive)
        manifest = _read_list(archive, next(members, None))
        missing = dict(manifest.files)
        for member in members:
            if not (member.isreg() and _NAME.fullmatch(member.name) and member.name in missing):
                raise errors.OperationFailed(f"{source}: {member.name!r} is not of a backup")
            file = place / member.name
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _copy(archive.extractfile(member), file)
            if checksum(file) != missing.pop(member.name):
                raise errors.OperationFailed(f"{source}: {member.name} is damaged")
        if missing:
            raise errors.OperationFailed(f"{source}: {', '.join(missing)} is missing")
    return manifest


def sync(directory: Path) -> None:
    """Have what was renamed there on disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _opened(source: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(source, "r:") as archive:
            yield archive
    except (tarfile.TarError, EOFError) as error:
        raise errors.OperationFailed(f"{source}: {error}") from error


def _writing(stream: IO[bytes]) -> tarfile.TarFile:
    """Each file whole: versions of an image share theirs by links."""
    return tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, dereference=True)


def _add_list(archive: tarfile.TarFile, text: bytes) -> None:
    member = tarfile.TarInfo(_LIST)
    member.size, member.mode = len(text), 0o600
    archive.addfile(member, io.BytesIO(text))


def _read_list(archive: tarfile.TarFile, first: tarfile.TarInfo | None) -> Manifest:
    stream = archive.extractfile(first) if first and first.name == _LIST else None
    try:
        return Manifest(**json.load(stream)) if stream else _refuse(archive)
    except (ValueError, TypeError):
        return _refuse(archive)


def _refuse(archive: tarfile.TarFile) -> Manifest:
    raise errors.OperationFailed(f"{archive.name!r} is no backup of OpenRDMS")


def _copy(stream: IO[bytes] | None, file: Path) -> None:
    with file.open("xb") as target:
        os.fchmod(target.fileno(), 0o600)
        while stream and (part := stream.read(_CHUNK)):
            target.write(part)
        target.flush()
        os.fsync(target.fileno())
