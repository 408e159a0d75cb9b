"""Disks of desktops: qcow2 overlays and full copies in one directory.

Format: QEMU, docs/interop/qcow2.txt. A disk is written under another name, made durable and then
given its final one, so that what has that is whole, also after a power failure; records that say
"disk made" are durable too, and the two must not disagree. Names in between are each writer's own
and nothing takes the place of a file: a service that was cut off may still be writing a disk that
another one has made in the meantime, and with which its VM runs.
"""

from __future__ import annotations

import errno
import fcntl
import filecmp
import json
import os
import re
import secrets
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from openrdms.adapters import processes
from openrdms.adapters.libvirt.account import Account
from openrdms.model.errors import InvalidParameter, OperationFailed, OutOfSpace
from openrdms.model.host import DiskKind, VmSpec
from openrdms.model.image import ImageVersion

ROOM_PER_DESKTOP = 64 << 20
"""Bytes that must be free beyond what is written now: room for a desktop's first start."""

_PART = ".part"
_PARTS = ".parts"
_DISK_FILE = re.compile(
    rf"(?P<vm>.+)\.(?P<generation>\d+)\.qcow2(\.[0-9a-f]{{8}}{re.escape(_PART)})?"
)
_CLUSTER = 1 << 16
_MAX_OVERLAY = (_CLUSTER // 8) ** 2 * _CLUSTER
"""Virtual bytes that one cluster of level 1 table reaches: 4 TiB."""

_FICLONE = 0x40049409
"""Request of ioctl_ficlone(2)."""


class Storage:
    """The directory of desktop disks. ``account`` is who QEMU runs as, None for ourselves."""

    def __init__(self, directory: Path, account: Account | None) -> None:
        self._directory = directory
        self._parts = directory / _PARTS
        self._parts.mkdir(mode=0o700, exist_ok=True)
        self._account = account
        self._locks: dict[Path, threading.Lock] = {}
        self._reserving = threading.Lock()
        self._reserved = 0

    def disk_path(self, vm: str, generation: int) -> Path:
        """Where that disk is or would be."""
        if "/" in vm or vm.startswith("."):
            raise InvalidParameter("VirtualDesktopName", f"{vm!r} cannot be part of a file name")
        return self._directory / f"{vm}.{generation}.qcow2"

    def list_disks(self) -> list[tuple[Path, str, int | None]]:
        """Every file in the directory, whole or half made, with its VM and generation.

        A file that we cannot have made comes with VM "" and generation None.
        """
        with translated(self._directory):
            return [(file, *_owner_of(file)) for file in sorted(self._list_files())]

    def list_generations(self, vm: str) -> set[int]:
        """Of which there are disks of that VM, whole or half made."""
        with translated(self._directory):
            owners = [_owner_of(f) for f in self._list_files() if f.name.startswith(f"{vm}.")]
        return {number for owner, number in owners if owner == vm and number is not None}

    def has_disk(self, vm: str, generation: int) -> bool:
        """Whether that disk is there, whole."""
        path = self.disk_path(vm, generation)
        with translated(path):
            return path.exists()

    def free_bytes(self) -> int:
        """Room for an account without privileges."""
        with translated(self._directory):
            return _free_bytes(self._directory)

    def is_new(self, spec: VmSpec) -> bool:
        """Whether the disk that is there is, bit for bit, what ``create_disk`` would make."""
        path = self.disk_path(spec.name, spec.generation)
        with translated(path), TemporaryDirectory() as scratch:
            as_made = spec.image.disk
            if spec.disk_kind is DiskKind.LINKED:
                as_made = Path(scratch, path.name)
                write_overlay(as_made, spec.image)
            return filecmp.cmp(path, as_made, shallow=False)

    def create_disk(self, spec: VmSpec) -> None:
        """See ports.Host. What is there is as new, as ``is_new`` has said, or another service has
        made it for the same since.
        """
        path = self.disk_path(spec.name, spec.generation)
        with self._locks.setdefault(path, threading.Lock()), translated(path):
            if path.exists():
                return
            self._drop_parts(path)
            part = _part_of(self._parts / path.name)
            try:
                self._write(spec, part)
                if self._account:
                    os.chown(part, self._account.uid, self._account.gid)
                elif self._directory.stat().st_mode & stat.S_ISGID:
                    part.chmod(0o660)  # QEMU is in the group that the directory gives its files
                _put_in_place(part, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def delete_disk(self, vm: str, generation: int) -> None:
        """See ports.Host."""
        path = self.disk_path(vm, generation)
        with self._locks.setdefault(path, threading.Lock()), translated(path):
            path.unlink(missing_ok=True)
            self._drop_parts(path)

    def _list_files(self) -> list[Path]:
        whole = (file for file in self._directory.iterdir() if file != self._parts)
        return [*whole, *self._parts.iterdir()]

    def _drop_parts(self, path: Path) -> None:
        """What others have left, or still write: they may not any more."""
        for name in os.listdir(self._parts):
            part = self._parts / name
            if name.startswith(path.name) and _owner_of(part) == _owner_of(path):
                part.unlink(missing_ok=True)

    def _write(self, spec: VmSpec, target: Path) -> None:
        if spec.disk_kind is DiskKind.LINKED:
            with self.reserved(0):
                write_overlay(target, spec.image)
        else:
            with self.reserved(_allocated(spec.image.disk)):
                copy_sparse(spec.image.disk, target)

    @contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Hold ``size`` bytes and room for a start against other callers. OutOfSpace."""
        need = size + ROOM_PER_DESKTOP
        with self._reserving:
            free = self.free_bytes() - self._reserved
            if free < need:
                raise OutOfSpace(f"{self._directory}: {need} bytes are needed, {free} are free")
            self._reserved += need
        try:
            yield
        finally:
            with self._reserving:
                self._reserved -= need


def write_overlay(path: Path, image: ImageVersion) -> None:
    """An empty qcow2 version 3 file over the image's disk, which must not exist yet.

    Header, one cluster each of refcount table, refcount block and level 1 table; no process.
    """
    backing = os.fsencode(image.disk)
    l1_size = -(-image.virtual_bytes // (_CLUSTER * _CLUSTER // 8))
    if image.virtual_bytes > _MAX_OVERLAY:
        raise InvalidParameter("image", f"{image.reference} is larger than {_MAX_OVERLAY} bytes")
    extensions = struct.pack(">II8sII", 0xE2792ACA, 5, b"qcow2", 0, 0)
    header_length = 104
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII",
        b"QFI\xfb",
        3,
        header_length + len(extensions),  # offset of the backing file's name
        len(backing),
        _CLUSTER.bit_length() - 1,
        image.virtual_bytes,
        0,  # not encrypted
        l1_size,
        3 * _CLUSTER,  # offset of the level 1 table
        _CLUSTER,  # offset of the refcount table
        1,  # its clusters
        0,  # snapshots
        0,
        0,  # incompatible, compatible, autoclear features
        0,
        0,
        4,  # refcounts of 2**4 bits
        header_length,
    )
    with path.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        os.pwrite(file.fileno(), header + extensions + backing, 0)
        os.pwrite(file.fileno(), struct.pack(">Q", 2 * _CLUSTER), _CLUSTER)
        os.pwrite(file.fileno(), struct.pack(">4H", 1, 1, 1, 1), 2 * _CLUSTER)
        os.ftruncate(file.fileno(), 4 * _CLUSTER)


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file that must not exist yet, sharing blocks where the file system can."""
    with source.open("rb") as reading, target.open("xb") as writing:
        os.fchmod(writing.fileno(), 0o600)
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
        except OSError:
            _copy_data(reading.fileno(), writing.fileno())


def export(source: Path, form: str, target: Path) -> int:
    """Write ``source`` with all it is based on to a new qcow2 file; returns virtual bytes.

    Everybody may read the file, as with images: QEMU's account is another than ours. What guards
    it is its directory.
    ``form`` is its format: what a raw disk holds is the guest's and must not be taken for ours.
    Raises OutOfSpace before writing. A failure leaves nothing.
    """
    part = _part_of(target)
    with translated(target):
        measured = _ask_qemu_img("measure", "-O", "qcow2", "-f", form, str(source))
        free = _free_bytes(target.parent)
        if measured["required"] > free:
            raise OutOfSpace(f"{target}: {measured['required']} bytes are needed, {free} are free")
        try:
            arguments = ["-f", form, "-O", "qcow2", str(source), str(part)]
            processes.run(["qemu-img", "convert", *arguments])
            size = _ask_qemu_img("info", "-f", "qcow2", str(part))["virtual-size"]
            part.chmod(0o644)
            _put_in_place(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return size


def _ask_qemu_img(command: str, *arguments: str) -> dict[str, int]:
    lines: list[str] = []
    processes.run(["qemu-img", command, "--output=json", *arguments], on_line=lines.append)
    facts: dict[str, int] = json.loads("".join(lines))
    return facts


def _free_bytes(directory: Path) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def _copy_data(source: int, target: int) -> None:
    """Copy the data of a file into an empty one and leave its holes."""
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    begin = end = 0
    while end < size:
        try:
            begin = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return  # only a hole is left
            raise
        end = os.lseek(source, begin, os.SEEK_HOLE)
        _copy_range(source, target, begin, end)


def _copy_range(source: int, target: int, begin: int, end: int) -> None:
    while begin < end:
        copied = os.copy_file_range(source, target, end - begin, begin, begin)
        if not copied:
            raise OperationFailed("the image became shorter while it was copied")
        begin += copied


def _allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


def _part_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}{_PART}")


def _owner_of(file: Path) -> tuple[str, int | None]:
    match = _DISK_FILE.fullmatch(file.name)
    return (match["vm"], int(match["generation"])) if match else ("", None)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What the file system refuses, in our terms."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise (OutOfSpace if full else OperationFailed)(f"{path}: {error}") from error


def _put_in_place(part: Path, path: Path) -> None:
    """Or leave what another writer has put there: it is as good, and may be in use."""
    make_durable(part)
    with suppress(FileExistsError):
        path.hardlink_to(part)
    part.unlink(missing_ok=True)
    make_durable(path.parent)


def make_durable(path: Path) -> None:
    """Return when the file or directory is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
