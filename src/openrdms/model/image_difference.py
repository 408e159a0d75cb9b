"""What differs between two disks: packages of Debian, and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class FileKind(StrEnum):
    """By the type bits of st_mode."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    CHARACTER = "character device"
    BLOCK = "block device"
    FIFO = "fifo"
    SOCKET = "socket"
    UNKNOWN = "unknown"


_KINDS = {
    0o010000: FileKind.FIFO,
    0o020000: FileKind.CHARACTER,
    0o040000: FileKind.DIRECTORY,
    0o060000: FileKind.BLOCK,
    0o100000: FileKind.FILE,
    0o120000: FileKind.LINK,
    0o140000: FileKind.SOCKET,
}


class FileEntry(NamedTuple):
    """A file as its directory lists it. ``mode`` is st_mode, ``changed`` the time of its content
    as the reader writes it, to be compared only.
    """

    inode: int
    mode: int
    owner: int
    group: int
    size: int
    changed: str

    @property
    def kind(self) -> FileKind:
        return _KINDS.get(self.mode & 0o170000, FileKind.UNKNOWN)

    @property
    def permissions(self) -> int:
        return self.mode & 0o7777


class Change(StrEnum):
    """From the first disk to the second."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class PackageChange:
    """``before`` and ``after`` are versions, "" where it is not installed."""

    change: Change
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class FileChange:
    """``what`` says what of it differs: kind, mode, owner, size, content or target."""

    change: Change
    path: str
    kind: FileKind
    size: int
    what: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageDifference:
    """In order of name and path. ``packages`` is None when a disk has no database of dpkg."""

    packages: list[PackageChange] | None
    files: list[FileChange]


def parse_packages(status: str) -> dict[str, str]:
    """Versions of installed packages by name:architecture, from /var/lib/dpkg/status."""
    packages = {}
    for stanza in status.split("\n\n"):
        lines = (line.partition(": ") for line in stanza.splitlines() if not line.startswith(" "))
        fields = {name: value for name, _, value in lines}
        if (
            fields.get("Status", "").endswith(" installed")
            and {"Package", "Version"} <= fields.keys()
        ):
            packages[f"{fields['Package']}:{fields.get('Architecture', '')}"] = fields["Version"]
    return packages


def compare_packages(before: Mapping[str, str], after: Mapping[str, str]) -> list[PackageChange]:
    """Packages that were added, removed, or have another version."""
    return [
        PackageChange(_change(name in before, name in after), name, before.get(name, ""), now)
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != (now := after.get(name, "")) and (name in before or now)
    ]


def compare_entries(
    before: Mapping[str, FileEntry], after: Mapping[str, FileEntry]
) -> tuple[list[FileChange], list[str]]:
    """What entries alone tell, and the paths of which only a look inside tells more.

    These have the same size and another time: files and links whose content may be the same.
    """
    changes, unsure = [], []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old is None or new is None:
            entry = old or new
            assert entry is not None  # noqa: S101  the path is in one of the two
            change = _change(old is not None, new is not None)
            changes.append(FileChange(change, path, entry.kind, entry.size))
        elif what := tuple(_what_differs(old, new)):
            changes.append(FileChange(Change.CHANGED, path, new.kind, new.size, what))
        elif old.changed != new.changed and new.kind in (FileKind.FILE, FileKind.LINK):
            unsure.append(path)
    return changes, unsure


def with_contents(
    changes: Iterable[FileChange], after: Mapping[str, FileEntry], differing: Iterable[str]
) -> list[FileChange]:
    """``changes`` and the files among ``differing``, in order of path."""
    more = (
        FileChange(Change.CHANGED, path, after[path].kind, after[path].size, ("content",))
        for path in differing
    )
    return sorted([*changes, *more], key=lambda one: one.path)


def _what_differs(old: FileEntry, new: FileEntry) -> Iterator[str]:
    """The size of a directory says nothing: it never shrinks."""
    if old.kind is not new.kind:
        yield "kind"
    elif old.size != new.size and new.kind in (FileKind.FILE, FileKind.LINK):
        yield "size"
    if old.permissions != new.permissions:
        yield "mode"
    if (old.owner, old.group) != (new.owner, new.group):
        yield "owner"


def _change(before: bool, after: bool) -> Change:  # noqa: FBT001  present or not
    if before and after:
        return Change.CHANGED
    return Change.REMOVED if before else Change.ADDED
