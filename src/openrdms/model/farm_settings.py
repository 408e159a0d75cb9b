"""VmFarmSettings and UserVHDSetting of a collection (facts b.1): save delay and profile disks.

VmFarmSettings has a root Farm with Metadata elements, each with a Name and a Value. Names that
are not known are left alone. UserVHDSetting is UVHDTemplateSetting/DiskSize.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache

from lxml import etree

from openrdms.model.errors import InvalidParameter
from openrdms.model.xml_document import parse_xml

DEFAULT = '<Farm><Metadata Name="SaveDelay" Value="1800000" /></Farm>'
"""What a collection has when its maker gave nothing.

Stock clients read SaveDelay, in milliseconds, and fail without it. Microsoft's own default is not
published; ours is half an hour.
"""

MIN_DISK, MAX_DISK = 2**30, 9999 * 2**30
"""Bytes of a profile disk: 1 to 9999 GB (facts d)."""

_SETTINGS = "VmFarmSettings"
_DISK = "UserVHDSetting"
_MAX_DOCUMENT = 2**18
_MAX_DELAY = 2**32 - 1
_SHARE = re.compile(r"\\\\[^\\/]+(\\[^\\/]+)+\\?|(/[^/]+)+/?")


def fold_share(share: str) -> str:
    """A share as shares are compared."""
    return share.rstrip("\\/").casefold()


def find_share(text: str) -> str:
    """Where VmFarmSettings puts profile disks, "" when it does not turn them on.

    InvalidParameter unless clients can read the document: well formed, with a SaveDelay.
    """
    farm = parse_xml(text, _SETTINGS, _MAX_DOCUMENT)
    if farm.tag != "Farm":
        raise InvalidParameter(_SETTINGS, "the root must be Farm")
    values = _read_metadata(farm)
    delay = values.get("SaveDelay", "")
    if not re.fullmatch("[0-9]{1,10}", delay) or int(delay) > _MAX_DELAY:
        raise InvalidParameter(_SETTINGS, f"SaveDelay {delay!r} is no number of milliseconds")
    return _read_share(values)


@lru_cache
def read_save_delay(text: str) -> timedelta:
    """How long a desktop may be idle before it is saved, of a document that was accepted.

    It is asked for with every user who leaves.
    """
    farm = parse_xml(text, _SETTINGS, _MAX_DOCUMENT)
    return timedelta(milliseconds=int(_read_metadata(farm)["SaveDelay"]))


def check_profile_disks(settings: str, disk: str | None) -> None:
    """InvalidParameter unless both documents are right and agree with each other."""
    share = find_share(settings)
    if disk is not None:
        _check_disk(disk)
    elif share:
        raise InvalidParameter(_DISK, "is needed: VmFarmSettings turns profile disks on")


def accept_share(value: str) -> str:
    """A UNC path or, on Linux, an absolute one; "" is none. ValueError."""
    if value and not _SHARE.fullmatch(value):
        raise ValueError(f"{value!r} is neither a share (\\\\SERVER\\SHARE) nor a path")
    return value


def accept_policy(value: str) -> str:
    """A UvhdRoamingPolicy document; "" is none. ValueError."""
    if value:
        try:
            _check_policy(parse_xml(value, "policy", _MAX_DOCUMENT))
        except InvalidParameter as error:
            raise ValueError(str(error)) from error
    return value


def _read_metadata(farm: etree._Element) -> dict[str, str]:
    values: dict[str, str] = {}
    for item in farm:
        name, value = item.get("Name"), item.get("Value")
        if item.tag != "Metadata" or name is None or value is None:
            raise InvalidParameter(_SETTINGS, "every child is a Metadata with a Name and a Value")
        if name in values:
            raise InvalidParameter(_SETTINGS, f"{name} is there twice")
        values[name] = value
    return values


def _read_share(values: dict[str, str]) -> str:
    enabled = values.get("UvhdProfRoamingEnabled", "false").lower()
    share = values.get("UvhdShareUrl", "")
    if enabled not in {"true", "false"}:
        raise InvalidParameter(_SETTINGS, f"UvhdProfRoamingEnabled {enabled!r} is no boolean")
    if enabled == "true" and not share:
        raise InvalidParameter(_SETTINGS, "UvhdShareUrl is needed: profile disks are on")
    try:
        accept_share(share)
        accept_policy(values.get("UvhdProfRoamingPolicy", ""))
    except ValueError as error:
        raise InvalidParameter(_SETTINGS, str(error)) from error
    return share if enabled == "true" else ""


def _check_policy(root: etree._Element) -> None:
    if root.tag != "UvhdRoamingPolicy":
        raise InvalidParameter("policy", "the root must be UvhdRoamingPolicy")
    for part in root:
        if part.tag not in {"Include", "Exclude"}:
            raise InvalidParameter("policy", f"{part.tag} is neither Include nor Exclude")
        if any(place.tag not in {"Folder", "File"} for place in part):
            raise InvalidParameter("policy", f"{part.tag} lists Folder and File only")


def _check_disk(text: str) -> None:
    root = parse_xml(text, _DISK, _MAX_DOCUMENT)
    size = root.findtext("DiskSize", "").strip()
    if root.tag != "UVHDTemplateSetting" or not re.fullmatch("[0-9]{1,20}", size):
        raise InvalidParameter(_DISK, "needs a root UVHDTemplateSetting with a DiskSize in bytes")
    if not MIN_DISK <= int(size) <= MAX_DISK:
        raise InvalidParameter(_DISK, f"DiskSize {size} is not 1 to 9999 GB in bytes")
