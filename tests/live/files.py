"""What is in the files of a directory that somebody else writes to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def contents(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Of each file below it but those that go meanwhile, as a database's journal does after each
    of its transactions.
    """
    for file in directory.rglob("*"):
        content = None
        with suppress(FileNotFoundError):
            content = file.read_bytes() if file.is_file() else None
        if content is not None:
            yield file, content
