"""Golden images: built, imported or sealed by a PrepJob; numbered; never changed afterwards.

A version's files are under ``NAME/VERSION`` in one directory. They are made in a directory of
their own beside it and get their place by rename before the version is recorded, so a version on
record is whole; what an interruption leaves has no record and goes at the next start. Several
services may have the directory: one at a time gives versions their places, and one that was away
while another took over finds its place taken and gets another, ``NAME/VERSION.ID``.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from openrdms.model.errors import InvalidParameter, NotFound
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion
from openrdms.ports import Clock, ImageTools, MemberStore, Store
from openrdms.services.alone import ALONE

Progress = Callable[[float, str], None]
"""Called with the fraction done, 0 to 1, and words for what is being done."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_REFERENCE = re.compile(r"image:(?P<name>[^@]+)(?:@(?P<version>\d+))?")
_STAGING = ".new-"

_PAUSE = 0.1
"""Seconds until a place is asked for again when another service is giving one."""


@dataclass(frozen=True)
class ImageOptions:
    """What a version should say of its guest; None leaves it to the image or its default.

    An imported disk is taken for a Linux guest with BIOS, 2048 MiB and 2 vCPUs on virtio, or on
    SATA with Windows, which brings no virtio driver. ``autologin`` is for builds (see
    ports.ImageTools).
    """

    autologin: bool = True
    os: GuestOs | None = None
    firmware: Firmware | None = None
    memory_mib: int | None = None
    vcpus: int | None = None
    disk_bus: DiskBus | None = None

    def apply(self, image: ImageVersion) -> ImageVersion:
        """``image`` with what is set here. InvalidParameter for a firmware it cannot boot by."""
        chosen = {name: value for name, value in vars(self).items() if value is not None}
        del chosen["autologin"]
        changed = replace(image, **chosen)
        if (changed.firmware is Firmware.KERNEL) != (changed.kernel is not None):
            raise InvalidParameter(
                "firmware", "kernel is for images built here, bios and uefi for the others"
            )
        return changed


class Images:
    """Use cases of images; blocking, safe from several threads at once."""

    def __init__(
        self,
        store: Store,
        tools: ImageTools,
        directory: Path,
        clock: Clock,
        members: MemberStore = ALONE,
    ) -> None:
        """Keep versions under ``directory``. What interrupted builds left there is removed."""
        self._store = store
        self._members = members
        self._tools = tools
        self._directory = directory
        self._clock = clock
        self._sealing = threading.Lock()
        self._importing = threading.Lock()
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.clear()

    def clear(self) -> None:
        """Remove what dead services have left. Homes that have no record stay while other services
        live: one may be about to record what is in them. None of ours is being recorded meanwhile.
        """
        with self._sealing, self._alone_in_sealing():
            live = {member.id for member in self._members.list_live()}
            for leftover in self._directory.glob(f"{_STAGING}*"):
                if leftover.name.removeprefix(_STAGING).partition(".")[0] not in live:
                    shutil.rmtree(leftover, ignore_errors=True)
            if not live - {self._members.me}:
                self._drop_unrecorded()

    def list(self) -> list[ImageVersion]:
        """All versions of all images."""
        return self._store.list_images()

    def register(self, images: Iterable[ImageVersion]) -> None:
        """Record images that hosts bring with them (``ports.Host.images``), once each."""
        for image in images:
            known = self._store.find_image(image.name)
            if known is None or (known.disk, known.sha256) != (image.disk, image.sha256):
                self._store.add_image(image)

    def build(
        self,
        name: str,
        variant: str,
        options: ImageOptions = ImageOptions(),
        progress: Progress = lambda _fraction, _words: None,
    ) -> ImageVersion:
        """Build ``tiny`` or ``desktop`` as the next version of ``name``.

        Raises InvalidParameter, OutOfSpace, OperationFailed (packages or rights are missing).
        """
        _check_name(name)
        with self._staging() as place:
            built = self._tools.build(variant, place, progress, autologin=options.autologin)
            return self._seal(options.apply(replace(built, name=name)), place, job=None)

    def import_file(
        self,
        name: str,
        file: Path,
        options: ImageOptions = ImageOptions(),
        progress: Progress = lambda _fraction, _words: None,
    ) -> ImageVersion:
        """Import a qcow2, VHDX, VMDK or raw disk as the next version of ``name``.

        Raises InvalidParameter (not such a disk), OutOfSpace.
        """
        return self._import(name, file, options, progress, source=f"file {file}")

    def seal(self, image: ImageVersion, *, location: str, job: str) -> ImageVersion:
        """Take a finished PrepJob's disk in as the next version of ``image.name``.

        Takes the file ``image.disk``, which nothing may write any more; kernel and initrd, those
        of the parent, are linked. ``location`` is the job's ExportToLocation, by which
        ``resolve`` finds the version. Sealing again for the same ``job`` gives the same version.
        """
        _check_name(image.name)
        if not image.disk.exists():  # it is removed only after the version is on record
            return self._store.add_image(image, job=job)
        with self._staging() as place:
            for file in filter(None, (image.disk, image.kernel, image.initrd)):
                _link(file, place / file.name)
            named = replace(image, source=f"{image.source} to {location}")
            sealed = self._seal(_moved(named, place), place, job=job)
        image.disk.unlink()
        return sealed

    def discard(self, job: str) -> None:
        """Undo of ``seal``: the version that a cancelled PrepJob recorded, if it did."""
        dropped = self._store.drop_image(job)
        if dropped is not None:
            shutil.rmtree(dropped.disk.parent, ignore_errors=True)

    def erase(self, image: ImageVersion) -> None:
        """Delete the files of a version that is on record no more."""
        shutil.rmtree(self._home(image), ignore_errors=True)

    def measure(self, image: ImageVersion) -> int:
        """Bytes of disk that ``erase`` makes free."""
        files = (path for path in self._home(image).rglob("*") if path.is_file())
        return sum(file.stat().st_blocks * 512 for file in files)

    def _home(self, image: ImageVersion) -> Path:
        """By its name on record: the directory may have been another one then."""
        return self._directory / image.name / image.disk.parent.name

    def resolve(self, location: str) -> ImageVersion:
        """The version that a job's BaseVmLocation means.

        ``image:NAME`` (newest), ``image:NAME@VERSION``, the ExportToLocation of a finished
        PrepJob, or a disk file's path, which is imported once for its content. Raises
        InvalidParameter naming BaseVmLocation, NotFound for an image that does not exist.
        """
        if match := _REFERENCE.fullmatch(location.strip()):
            version = int(match["version"]) if match["version"] else None
            found = self._store.find_image(match["name"], version, settled=True)
            if found is None:
                raise NotFound(f"BaseVmLocation: there is no image {location.strip()[6:]}")
            return found
        prepared = self._find_prepared(location)
        if prepared:
            return prepared
        try:
            with self._importing:
                return self._find_file(Path(location))
        except OSError as error:
            raise InvalidParameter(
                "BaseVmLocation", f"{location}: {error.strerror or error}"
            ) from error

    def foresee(self, location: str) -> ImageVersion:
        """What ``resolve`` would give, with the same errors; but a file that would have to be
        imported is not: its version is 0, and its virtual size what the file takes.
        """
        if _REFERENCE.fullmatch(location.strip()) or self._find_prepared(location):
            return self.resolve(location)
        file = Path(location)
        try:
            known, source = self._look_up(file)
            return known or self._draft(
                _name_after(file), file, file.stat().st_size, GuestOs.LINUX, source
            )
        except OSError as error:
            raise InvalidParameter(
                "BaseVmLocation", f"{location}: {error.strerror or error}"
            ) from error

    def _find_prepared(self, location: str) -> ImageVersion | None:
        ending = f" to {location}"
        found = [
            image
            for image in self._store.list_images(settled=True)
            if image.source.startswith("prep ") and image.source.endswith(ending)
        ]
        return max(found, key=lambda image: image.created, default=None)

    def _find_file(self, file: Path) -> ImageVersion:
        known, source = self._look_up(file)
        if known:
            return known
        name = _name_after(file)
        return self._import(name, file, ImageOptions(), lambda _fraction, _words: None, source)

    def _look_up(self, file: Path) -> tuple[ImageVersion | None, str]:
        """The version that was imported for the file's content, if any; what it is known by."""
        if not file.is_absolute() or not file.is_file():
            raise InvalidParameter(
                "BaseVmLocation",
                f"{file} is no image:NAME, no disk file here and no export of a PrepJob",
            )
        known = self._store.list_images(settled=True)
        for image in known:
            if image.disk == file:
                return image, ""
        source = f"file {file} {_sha256(file)}"
        for image in known:
            if image.source.startswith("file ") and image.source.endswith(source[-64:]):
                return image, source
        return None, source

    def _import(
        self, name: str, file: Path, options: ImageOptions, progress: Progress, source: str
    ) -> ImageVersion:
        _check_name(name)
        with self._staging() as place:
            disk, size = self._tools.import_disk(file, place, progress)
            image = self._draft(name, disk, size, options.os, source)
            return self._seal(options.apply(image), place, job=None)

    def _draft(
        self, name: str, disk: Path, size: int, os: GuestOs | None, source: str
    ) -> ImageVersion:
        """An imported disk before anything else is said of it."""
        return ImageVersion(
            name=name,
            version=0,
            disk=disk,
            virtual_bytes=size,
            sha256="",
            os=GuestOs.LINUX,
            firmware=Firmware.BIOS,
            memory_mib=2048,
            vcpus=2,
            disk_bus=DiskBus.SATA if os is GuestOs.WINDOWS else DiskBus.VIRTIO,
            created=self._clock(),
            source=source,
        )

    def _seal(self, image: ImageVersion, place: Path, *, job: str | None) -> ImageVersion:
        """Give the files in ``place`` their final home and record the version."""
        image = replace(
            image,
            sha256=image.sha256 or _sha256(image.disk),
            kernel_sha256=_sha256(image.kernel) if image.kernel else "",
            initrd_sha256=_sha256(image.initrd) if image.initrd else "",
        )
        for path in place.iterdir():
            path.chmod(0o444)
        with self._sealing, self._alone_in_sealing():
            newest = self._store.find_image(image.name)
            name = newest.name if newest else image.name
            version = self._store.next_image_version(name)
            self._members.check()
            home = self._move(place, name, version)
            fresh = replace(image, name=name, created=self._clock())
            recorded = self._store.add_image(_moved(fresh, home), job=job)
        if recorded.disk.parent != home:  # the job had recorded it before it was interrupted
            shutil.rmtree(home)
        return recorded

    @contextmanager
    def _alone_in_sealing(self) -> Iterator[None]:
        while True:
            with self._members.exclusive("images") as mine:
                if mine:
                    yield
                    return
            time.sleep(_PAUSE)

    def _move(self, place: Path, name: str, version: int) -> Path:
        home = self._directory / name / str(version)
        home.parent.mkdir(mode=0o755, exist_ok=True)
        try:
            return place.rename(home)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        # Of a version that was never recorded, or that another service has recorded just now.
        return place.rename(home.with_name(f"{version}.{uuid.uuid4().hex[:8]}"))

    def _drop_unrecorded(self) -> None:
        """Versions that were about to be recorded, or just dropped, when the service died.

        By name as well as by place: a state directory that was moved keeps its images.
        """
        recorded = self._store.list_images()
        names = {(image.name.casefold(), image.disk.parent.name) for image in recorded}
        places = {image.disk.parent.resolve() for image in recorded}
        for home in self._directory.glob("[!.]*/*"):
            name = (home.parent.name.casefold(), home.name)
            if home.is_dir() and name not in names and home.resolve() not in places:
                shutil.rmtree(home, ignore_errors=True)

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """A directory that is gone afterwards, unless it was given a home meanwhile."""
        place = self._directory / f"{_STAGING}{self._members.me}.{uuid.uuid4().hex}"
        place.mkdir(mode=0o755)
        try:
            yield place
        finally:
            if place.exists():
                shutil.rmtree(place)


def _name_after(file: Path) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", file.stem).lstrip("-._")[:63] or "disk"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            "name", f"{name!r}: letters, digits, dot, hyphen and underscore, at most 63"
        )


def _moved(image: ImageVersion, directory: Path) -> ImageVersion:
    """The same version with its files in ``directory``."""
    return replace(
        image,
        disk=directory / image.disk.name,
        kernel=directory / image.kernel.name if image.kernel else None,
        initrd=directory / image.initrd.name if image.initrd else None,
    )


def _link(file: Path, target: Path) -> None:
    try:
        target.hardlink_to(file)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(file, target)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
