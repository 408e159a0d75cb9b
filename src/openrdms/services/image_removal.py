"""Versions of images that nobody needs any more, and the copies that hosts have of them.

A version is removed on record first: from then on no job can use it, and its number is never given
again. What is left of it here goes at the next start at the latest, and on a host when it is
compared with the records: at start, and when it comes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.image import ImageVersion
from openrdms.model.provisioning import parse_job
from openrdms.services.hosts import Hosts
from openrdms.services.images import Images

_REFERENCE = re.compile(r"(?P<name>[^@]+)(?:@(?P<version>\d+))?")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Removal:
    """What became of a version, or would: ``kept`` says why it is still there, "" for one that was
    removed. ``later`` are hosts that drop their copies when they can; ``freed`` bytes are free
    again on this machine.
    """

    image: ImageVersion
    kept: str = ""
    later: tuple[str, ...] = ()
    freed: int = 0


class ImageRemoval:
    """Safe from any thread."""

    def __init__(self, store: ports.Store, hosts: Hosts, images: Images) -> None:
        self._store = store
        self._hosts = hosts
        self._images = images

    def remove(self, name: str) -> list[Removal]:
        """Remove NAME@VERSION, or of NAME every version that nobody needs.

        InvalidParameter, NotFound; InvalidOperation when all of them are needed, with who does.
        """
        return _require_one([self._remove(image) for image in self._find(name)])

    def plan(self, name: str) -> list[Removal]:
        """What ``remove`` would do now, and refuses; nothing changes."""
        return _require_one([self._foresee(image) for image in self._find(name)])

    def _find(self, name: str) -> list[ImageVersion]:
        match = _REFERENCE.fullmatch(name)
        if not match:
            raise errors.InvalidParameter("name", f"{name!r} is neither NAME nor NAME@VERSION")
        key, version = match["name"].casefold(), match["version"]
        found = [
            image
            for image in self._images.list()
            if image.name.casefold() == key and version in (None, str(image.version))
        ]
        if not found:
            raise errors.NotFound(f"there is no image {name}")
        return found

    def _remove(self, image: ImageVersion) -> Removal:
        users = "; ".join(self._find_users(image)) or str(self._store.remove_image(image))
        if users:
            return Removal(image, users)
        freed = self._images.measure(image)
        _log.info("an image was removed", image=image.reference)
        self._images.erase(image)
        later = [host.name for host in self._hosts.all() if not _drop(self._store, host)]
        return Removal(image, later=tuple(later), freed=freed)

    def _foresee(self, image: ImageVersion) -> Removal:
        users = "; ".join(self._find_users(image)) or str(self._store.find_image_users(image))
        if users:
            return Removal(image, users)
        later = [host.name for host in self._hosts.all() if not host.describe().reachable]
        return Removal(image, later=tuple(later), freed=self._images.measure(image))

    def _find_users(self, image: ImageVersion) -> Iterator[str]:
        """Beside those that are on record as such, which count at the moment of the removal."""
        for host in self._hosts.all():
            if image.disk in {own.disk for own in host.images()}:
                yield f"host {host.name}, which brings it along"
                break
        for patch in self._store.list_waiting_patches():
            meant = parse_job(patch.document).base_vm_location
            if self._resolve(meant) == image:
                yield f"the update of {patch.collection} at {patch.start:%Y-%m-%d %H:%M} UTC"

    def _resolve(self, location: str) -> ImageVersion | None:
        try:
            return self._images.foresee(location)
        except errors.RdmsError:  # its time will tell
            return None


def _require_one(removals: list[Removal]) -> list[Removal]:
    """InvalidOperation when all are kept, with who needs them."""
    if all(one.kept for one in removals):
        told = (f"{one.image.reference} is kept for {one.kept}" for one in removals)
        raise errors.InvalidOperation(". ".join(told))
    return removals


def drop_removed(store: ports.Store, host: ports.Host) -> None:
    """Have a host drop its copies of what was removed, but for VMs there that are on no record.

    Repeatable. HostUnavailable.
    """
    removed = store.list_removed_images()
    if not removed:
        return
    needed = {vm.ownership.image for vm in host.list_vms() if vm.ownership}
    for image in removed:
        if image.reference not in needed:
            host.drop_image(image)


def _drop(store: ports.Store, host: ports.Host) -> bool:
    try:
        drop_removed(store, host)
    except errors.RdmsError as error:
        _log.warning("copies of images stay for now", host=host.name, error=str(error))
        return False
    return True
