"""What is on the ext4 file system of a disk, read by debugfs: nothing is mounted, nothing boots.

debugfs is told inode numbers only, so that no name on a disk can be a command, and escapes what is
not printable in the names that it lists. A disk may hold anything: loops, sizes beyond all room.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from openrdms.adapters import disk_space, processes
from openrdms.adapters.images.convert import PERCENT, ask_qemu_img
from openrdms.adapters.images.progress import Report
from openrdms.model import image_difference as difference
from openrdms.model.errors import NotSupported, OperationFailed
from openrdms.model.image_difference import FileEntry, FileKind, ImageDifference

_SECTOR = 512
_ROOT = 2
_DPKG_STATUS = "/var/lib/dpkg/status"

_LISTED = re.compile(
    r"\s*(?P<inode>\d+)\s+(?P<mode>[0-7]+) \(\d+\)\s+(?P<owner>\d+)\s+(?P<group>\d+)\s+"
    r"(?P<size>\d+)\s+(?P<changed>\d+-\w{3}-\d{4} \d\d:\d\d) (?P<name>.+)"
)
_ASKED = re.compile(r"debugfs:\s+\w+ (?:-l )?<(\d+)>")
_TARGET = re.compile(r'Fast link dest: "(.*)"')

_DIRECTORIES = 2000
_FILES = 500
_BYTES = 256 << 20
"""How much one run of debugfs lists or copies; compared files are gone before more come."""


def compare_disks(before: Path, after: Path, report: Report) -> ImageDifference:
    """What differs between the ext4 file systems of two qcow2 files.

    Needs room for both, as large as they are filled, under TMPDIR. NotSupported for disks
    without ext4, OutOfSpace, OperationFailed.
    """
    first, second = (_part(report, begin, 0.4) for begin in (0.0, 0.4))
    with _opened(before, first) as old, _opened(after, second) as new:
        was, now = old.list_files(), new.list_files()
        changes, unsure = difference.compare_entries(was, now)
        compared = _part(report, 0.8, 0.2)
        differing = list(_differing(old, was, new, now, unsure, compared))
        return ImageDifference(
            packages=_compare_packages(old, was, new, now),
            files=difference.with_contents(changes, now, differing),
        )


def _part(report: Report, begin: float, share: float) -> Report:
    return lambda fraction, words: report(begin + fraction * share, words)


@contextmanager
def _opened(disk: Path, report: Report) -> Iterator[Ext4]:
    """The disk's file system, in a sparse copy that is removed afterwards."""
    room = os.environ.get("TMPDIR", "/var/tmp")  # noqa: S108  a directory of our own is made there
    with tempfile.TemporaryDirectory(prefix="openrdms-", dir=room) as place:
        work = Path(place)
        disk_space.require(work, ask_qemu_img("measure", "-O", "raw", str(disk))["required"])
        raw = work / "disk.raw"
        words = f"reading {disk.parent.parent.name}@{disk.parent.name}"

        def follow(line: str) -> None:
            if found := PERCENT.search(line):
                report(0.9 * float(found[1]) / 100, words)

        convert = ["qemu-img", "convert", "-p", "-W", "-O", "raw", str(disk), str(raw)]
        processes.run(convert, on_line=follow)
        report(0.9, words)
        yield Ext4(raw, find_file_system(raw))


def find_file_system(raw: Path) -> int:
    """Where in a raw disk the largest ext4 file system begins, in bytes. NotSupported."""
    with raw.open("rb") as file:
        head = file.read(64 * 1024)
        end = raw.stat().st_size
        found = []
        for start, size in [(0, end), *_partitions(head)]:
            if start < end:
                file.seek(start + 1024)
                if file.read(58)[56:] == b"\x53\xef":
                    found.append((size, start))
    if not found:
        raise NotSupported("there is no ext4 file system: only disks of Linux can be compared")
    return max(found)[1]


def _partitions(head: bytes) -> Iterator[tuple[int, int]]:
    """Start and size in bytes, by the GPT (UEFI specification, 5.3) or the MBR."""
    if head[_SECTOR : _SECTOR + 8] == b"EFI PART":
        table, count, size = struct.unpack_from("<QII", head, _SECTOR + 72)
        for number in range(min(count, 128)):
            entry = head[table * _SECTOR + number * size :][:48]
            if len(entry) == 48 and any(entry[:16]):
                first, last = struct.unpack_from("<QQ", entry, 32)
                yield first * _SECTOR, (last - first + 1) * _SECTOR
    elif head[510:512] == b"\x55\xaa":
        for at in range(446, 510, 16):
            first, count = struct.unpack_from("<II", head, at + 8)
            if first:
                yield first * _SECTOR, count * _SECTOR


class Ext4:
    """An ext4 file system in a raw file, from a byte on."""

    def __init__(self, raw: Path, start: int) -> None:
        self._raw = raw
        self._start = start

    def list_files(self) -> dict[str, FileEntry]:
        """Everything but the root itself, by path; what is in a directory once."""
        files: dict[str, FileEntry] = {}
        level = {_ROOT: ""}
        seen = {_ROOT}
        while level:
            below: dict[int, str] = {}
            inodes = list(level)
            for at in range(0, len(inodes), _DIRECTORIES):
                for directory, name, entry in self._list(inodes[at : at + _DIRECTORIES]):
                    path = f"{level[directory]}/{name}"
                    files[path] = entry
                    if entry.kind is FileKind.DIRECTORY and entry.inode not in seen:
                        seen.add(entry.inode)
                        below[entry.inode] = path
            level = below
        return files

    def _list(self, directories: Sequence[int]) -> Iterator[tuple[int, str, FileEntry]]:
        directory = 0
        for line in self._run([f"ls -l <{inode}>" for inode in directories]):
            if asked := _ASKED.match(line):
                directory = int(asked[1])
            elif (found := _LISTED.fullmatch(line)) and found["name"] not in (".", ".."):
                yield directory, found["name"], _read_entry(found)

    def read(self, entry: FileEntry) -> bytes:
        """All of a file. OutOfSpace, OperationFailed."""
        with self.copied([entry]) as copies:
            return copies[entry.inode].read_bytes()

    @contextmanager
    def copied(self, entries: Sequence[FileEntry]) -> Iterator[dict[int, Path]]:
        """Copies of files by inode while the block runs. OutOfSpace, OperationFailed."""
        with tempfile.TemporaryDirectory(dir=self._raw.parent) as place:
            disk_space.require(Path(place), sum(entry.size for entry in entries))
            copies = {entry.inode: Path(place, str(entry.inode)) for entry in entries}
            self._run([f'dump <{inode}> "{copy}"' for inode, copy in copies.items()])
            for inode, copy in copies.items():
                if not copy.exists():
                    raise OperationFailed(f"inode {inode} of {self._raw.name} cannot be read")
            yield copies

    def read_targets(self, inodes: Sequence[int]) -> dict[int, str]:
        """Where links point to that have no blocks of their own."""
        targets, inode = {}, 0
        for line in self._run([f"stat <{inode}>" for inode in inodes]):
            if asked := _ASKED.match(line):
                inode = int(asked[1])
            elif found := _TARGET.match(line):
                targets[inode] = found[1]
        return targets

    def _run(self, commands: Sequence[str]) -> list[str]:
        script = self._raw.with_suffix(".commands")
        script.write_text("\n".join(commands) + "\n")
        lines: list[str] = []
        argv = ["debugfs", "-f", str(script), f"{self._raw}?offset={self._start}"]
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        processes.run(argv, env={"PATH": path, "TZ": "UTC", "LC_ALL": "C"}, on_line=lines.append)
        return lines


def _read_entry(line: re.Match[str]) -> FileEntry:
    return FileEntry(
        inode=int(line["inode"]),
        mode=int(line["mode"], 8),
        owner=int(line["owner"]),
        group=int(line["group"]),
        size=int(line["size"]),
        changed=line["changed"],
    )


def _compare_packages(
    old: Ext4, was: Mapping[str, FileEntry], new: Ext4, now: Mapping[str, FileEntry]
) -> list[difference.PackageChange] | None:
    before, after = _list_packages(old, was), _list_packages(new, now)
    if before is None or after is None:
        return None
    return difference.compare_packages(before, after)


def _list_packages(disk: Ext4, files: Mapping[str, FileEntry]) -> dict[str, str] | None:
    """None without a database of a size that databases have."""
    entry = files.get(_DPKG_STATUS)
    if entry is None or entry.kind is not FileKind.FILE or entry.size > _BYTES:
        return None
    return difference.parse_packages(disk.read(entry).decode(errors="replace"))


def _differing(
    old: Ext4,
    was: Mapping[str, FileEntry],
    new: Ext4,
    now: Mapping[str, FileEntry],
    unsure: Sequence[str],
    report: Report,
) -> Iterator[str]:
    """Of these paths, whose sizes are equal, those whose contents are not."""
    done = 0
    for paths in _portions(unsure, now):
        report(done / len(unsure), "comparing files")
        done += len(paths)
        digests = [
            _digests(disk, [files[path] for path in paths])
            for disk, files in ((old, was), (new, now))
        ]
        for path in paths:
            if digests[0][was[path].inode] != digests[1][now[path].inode]:
                yield path
    links = [path for path in unsure if _is_short_link(now[path])]
    before = old.read_targets([was[path].inode for path in links])
    after = new.read_targets([now[path].inode for path in links])
    yield from (path for path in links if before.get(was[path].inode) != after.get(now[path].inode))
    report(1.0, "compared")


def _is_short_link(entry: FileEntry) -> bool:
    """Whether it is a link whose target is in its inode (60 bytes with a zero at the end)."""
    return entry.kind is FileKind.LINK and entry.size < 60


def _portions(unsure: Sequence[str], now: Mapping[str, FileEntry]) -> Iterator[list[str]]:
    """What has blocks of its own, as many at a time as may be copied."""
    portion: list[str] = []
    size = 0
    for path in unsure:
        if _is_short_link(now[path]):
            continue
        if portion and (len(portion) == _FILES or size + now[path].size > _BYTES):
            yield portion
            portion, size = [], 0
        portion.append(path)
        size += now[path].size
    if portion:
        yield portion


def _digests(disk: Ext4, entries: Sequence[FileEntry]) -> dict[int, bytes]:
    with disk.copied(entries) as copies:
        digests = {}
        for inode, copy in copies.items():
            with copy.open("rb") as file:
                digests[inode] = hashlib.file_digest(file, "sha256").digest()
        return digests
