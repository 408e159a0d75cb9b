"""Copies of images on a host's own disk: DIRECTORY/NAME/VERSION/ with the image's file names.

A file is copied under another name, made durable and renamed, so that what has its final name is
whole. What an interrupted copy left is compared with the image and gone on with. The disk comes
last: where it is, all of the image is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from openrdms.adapters.libvirt.storage import make_durable, translated
from openrdms.model.errors import InvalidOperation, OperationFailed, OutOfSpace
from openrdms.model.image import ImageVersion

_PIECE = 4 << 20
_STOPS_WITHIN = 0.25
"""Seconds that one piece takes at most by the rate, so that the copy ends soon when it must."""

_MARGIN = 256 << 20
"""Bytes that stay free on the file system."""


class Gold:
    """The cache in ``directory``. ``rate`` is in bytes a second, None for as fast as it goes."""

    def __init__(self, directory: Path, rate: float | None) -> None:
        self._directory = directory
        self._rate = rate
        self._copying: dict[str, threading.Lock] = {}

    def has(self, image: ImageVersion) -> bool:
        """Whether all of the image is there."""
        return self._place(image, image.disk).exists()

    def localise(self, image: ImageVersion) -> ImageVersion:
        """The image with the files that are here. OperationFailed when it was not copied."""
        if not self.has(image):
            raise OperationFailed(f"{image.reference} is not in {self._directory} yet")
        return replace(
            image,
            disk=self._place(image, image.disk),
            kernel=image.kernel and self._place(image, image.kernel),
            initrd=image.initrd and self._place(image, image.initrd),
        )

    def copy(
        self, image: ImageVersion, go_on: Callable[[], bool], progress: Callable[[float], None]
    ) -> None:
        """See ``ports.Host.copy_image``. OutOfSpace before writing."""
        with (
            self._copying.setdefault(image.reference, threading.Lock()),
            translated(self._directory),
        ):
            if not self.has(image):
                self._copy(image, go_on, progress)
        progress(1.0)

    def drop(self, image: ImageVersion) -> None:
        """See ``ports.Host.drop_image``."""
        with (
            self._copying.setdefault(image.reference, threading.Lock()),
            translated(self._directory),
        ):
            shutil.rmtree(self._place(image, image.disk).parent, ignore_errors=True)

    def _place(self, image: ImageVersion, file: Path) -> Path:
        return self._directory / image.name / str(image.version) / file.name

    def _copy(
        self, image: ImageVersion, go_on: Callable[[], bool], progress: Callable[[float], None]
    ) -> None:
        checksums = {image.kernel: image.kernel_sha256, image.initrd: image.initrd_sha256}
        checksums[image.disk] = image.sha256
        files = [file for file in checksums if file]
        total = sum(file.stat().st_size for file in files)
        place = self._place(image, image.disk).parent
        place.mkdir(parents=True, exist_ok=True)
        here = sum(_size(file) for file in place.iterdir())
        free = shutil.disk_usage(place).free
        if free < total - here + _MARGIN:
            raise OutOfSpace(f"{place}: {total - here} bytes are needed, {free} are free")
        copied = 0
        for file in files:
            target = self._place(image, file)
            if not target.exists():
                for size in self._copy_file(file, target, checksums[file]):
                    progress(min(1.0, (copied + size) / total))
                    if not go_on():
                        raise InvalidOperation(f"copying {image.reference} was ended")
            copied += file.stat().st_size

    def _copy_file(self, source: Path, target: Path, checksum: str) -> Iterator[int]:
        """Give the size that is there after every piece; put it in place when it is whole."""
        part = target.with_name(f"{target.name}.part")
        digest = hashlib.sha256()
        with source.open("rb") as reading, open(part, "a+b", opener=_open_itself) as writing:
            fcntl.flock(writing, fcntl.LOCK_EX)  # hosts that share the directory copy it once
            if target.exists():
                part.unlink(missing_ok=True)
                return
            if not os.fstat(writing.fileno()).st_nlink:
                raise OperationFailed(f"{target}: another host has dropped what was copied")
            yield _skip_equal(reading, writing, digest.update)
            yield from self._append(reading, writing, digest.update)
            writing.flush()
            os.fchmod(writing.fileno(), 0o644)  # QEMU's account is another than ours
            if checksum and digest.hexdigest() != checksum:
                part.unlink()
                words = "what was copied has another checksum than the image"
                raise OperationFailed(f"{target}: {words}")
            make_durable(part)
            part.rename(target)
            make_durable(target.parent)

    def _append(
        self, reading: BinaryIO, writing: BinaryIO, read: Callable[[bytes], object]
    ) -> Iterator[int]:
        size = _PIECE
        if self._rate is not None:
            size = max(1, min(_PIECE, int(self._rate * _STOPS_WITHIN)))
        begun, at_first = time.monotonic(), reading.tell()
        while piece := reading.read(size):
            writing.write(piece)
            read(piece)
            if self._rate is not None:
                due = begun + (reading.tell() - at_first) / self._rate
                time.sleep(max(0.0, due - time.monotonic()))
            yield reading.tell()


def _open_itself(path: str, flags: int) -> int:
    """Not what a link of that name leads to: we may be root, and the directory another's."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _size(file: Path) -> int:
    """Bytes; 0 when a host that shares the directory has just renamed or dropped it."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _skip_equal(reading: BinaryIO, writing: BinaryIO, read: Callable[[bytes], object]) -> int:
    """Leave both files behind what is the same in them, and drop what else ``writing`` has."""
    writing.seek(0)
    equal = 0
    while piece := writing.read(_PIECE):
        if reading.read(len(piece)) != piece:
            break
        read(piece)
        equal += len(piece)
    reading.seek(equal)
    writing.truncate(equal)
    writing.seek(equal)
    return equal
