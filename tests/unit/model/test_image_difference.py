"""Packages and files of two disks, compared."""

from __future__ import annotations

import pytest

from openrdms.model.image_difference import (
    Change,
    FileChange,
    FileEntry,
    FileKind,
    PackageChange,
    compare_entries,
    compare_packages,
    parse_packages,
    with_contents,
)

STATUS = """Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b7
Description: shell
 Version: 9 is in the description
 .

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: held
Status: hold ok installed
Architecture: all
Version: 1:2-3
Conffiles:
 /etc/held.conf 0123

Status: install ok installed
Description: neither name nor version
"""

FILE = FileEntry(12, 0o100644, 0, 0, 10, "then")


def test_installed_packages_are_read() -> None:
    assert parse_packages(STATUS) == {"bash:amd64": "5.2.15-2+b7", "held:all": "1:2-3"}
    assert parse_packages("") == {}


def test_packages_come_go_and_change() -> None:
    assert compare_packages({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "4"}) == [
        PackageChange(Change.REMOVED, "a", "1", ""),
        PackageChange(Change.CHANGED, "b", "1", "2"),
        PackageChange(Change.ADDED, "d", "", "4"),
    ]


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (FILE._replace(size=11), ("size",)),
        (FILE._replace(mode=0o100600, owner=5), ("mode", "owner")),
        (FILE._replace(group=5, inode=99), ("owner",)),
        (FILE._replace(mode=0o120777, size=3), ("kind", "mode")),
    ],
)
def test_what_entries_tell(after: FileEntry, what: tuple[str, ...]) -> None:
    [change], unsure = compare_entries({"/a": FILE}, {"/a": after})
    assert (change.change, change.what, unsure) == (Change.CHANGED, what, [])


def test_another_time_alone_needs_a_look_inside() -> None:
    touched = FILE._replace(changed="now", inode=77)
    assert compare_entries({"/a": FILE}, {"/a": touched}) == ([], ["/a"])
    assert compare_entries({"/a": FILE}, {"/a": FILE._replace(inode=77)}) == ([], [])
    directory = FILE._replace(mode=0o040755)
    other = directory._replace(size=8192, changed="now")
    assert compare_entries({"/d": directory}, {"/d": other}) == ([], [])


def test_all_changes_are_in_order_of_path() -> None:
    before, after = {"/b": FILE, "/c": FILE}, {"/a": FILE, "/c": FILE}
    changes, _ = compare_entries(before, after)
    assert with_contents(changes, after, ["/c"]) == [
        FileChange(Change.ADDED, "/a", FileKind.FILE, 10),
        FileChange(Change.REMOVED, "/b", FileKind.FILE, 10),
        FileChange(Change.CHANGED, "/c", FileKind.FILE, 10, ("content",)),
    ]
