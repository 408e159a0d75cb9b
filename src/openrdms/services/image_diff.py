"""What differs between two versions of golden images."""

from __future__ import annotations

from openrdms.model.errors import InvalidParameter, NotSupported
from openrdms.model.image import GuestOs, ImageVersion
from openrdms.model.image_difference import ImageDifference
from openrdms.ports import ImageTools
from openrdms.services.images import Images, Progress


class ImageDiff:
    """Compares image versions on disk; no VM is needed."""

    def __init__(self, images: Images, tools: ImageTools) -> None:
        self._images = images
        self._tools = tools

    def compare(self, before: str, after: str, progress: Progress) -> ImageDifference:
        """What was added, removed and changed from one NAME@VERSION to another.

        NotFound, InvalidParameter; NotSupported for images without an ext4 file system.
        """
        old, new = self._find("before", before), self._find("after", after)
        return self._tools.compare_disks(old.disk, new.disk, progress)

    def _find(self, field: str, reference: str) -> ImageVersion:
        if not reference.partition("@")[2].isdigit():
            raise InvalidParameter(field, f"{reference!r} is not NAME@VERSION")
        image = self._images.resolve(f"image:{reference}")
        if image.os is GuestOs.WINDOWS:
            raise NotSupported(f"{image.reference}: images of Windows cannot be compared")
        return image
