"""Foreign disk images, read with qemu-img and made into qcow2.

What is imported may come from anywhere, so files it refers to (a backing file, a data file, VMDK
extents outside its own directory) are refused: they would pull in files of this machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openrdms.adapters import disk_space, processes
from openrdms.adapters.images.progress import Report
from openrdms.model.errors import InvalidParameter

FORMATS = ("qcow2", "vhdx", "vmdk", "raw")

PERCENT = re.compile(r"\((\d+(?:\.\d+)?)/100%\)")


def convert(source: Path, target: Path, report: Report) -> int:
    """Write the disk in ``source`` to the new qcow2 file ``target``; returns virtual bytes.

    Raises InvalidParameter when the file is missing or is no disk we take, OutOfSpace.
    """
    facts = _probe(source)
    read = ["-f", facts["format"]]
    needed = ask_qemu_img("measure", *read, "-O", "qcow2", str(source))["required"]
    disk_space.require(target.parent, needed)
    words = f"converting {source.name}"
    report(0.0, words)

    def follow(line: str) -> None:
        if found := PERCENT.search(line):
            report(float(found[1]) / 100, words)

    argv = ["qemu-img", "convert", "-p", "-W", *read, "-O", "qcow2", str(source), str(target)]
    processes.run(argv, on_line=follow)
    return int(facts["virtual-size"])


def _probe(source: Path) -> dict[str, Any]:
    if not source.is_file():
        raise InvalidParameter("file", f"{source} is not a file")
    facts: dict[str, Any] = ask_qemu_img("info", str(source.resolve()))
    if facts["format"] not in FORMATS:
        raise InvalidParameter("file", f"{source} is {facts['format']}, not {', '.join(FORMATS)}")
    if facts.get("encrypted"):
        raise InvalidParameter("file", f"{source} is encrypted")
    for other in _references(source.resolve(), facts):
        raise InvalidParameter(
            "file", f"{source} refers to another file, {other}: flatten it first"
        )
    return facts


def _references(source: Path, facts: dict[str, Any]) -> Iterator[str]:
    """Files that the image names besides itself and VMDK extents right beside it."""
    specific = facts.get("format-specific", {}).get("data", {})
    yield from filter(None, [facts.get("backing-filename"), specific.get("data-file")])
    for extent in specific.get("extents", ()):
        path = Path(extent["filename"])
        if path.resolve().parent != source.parent or path.is_symlink():
            yield extent["filename"]


def ask_qemu_img(command: str, *arguments: str) -> Any:
    """What ``qemu-img COMMAND`` prints as JSON. OperationFailed."""
    lines: list[str] = []
    argv = ["qemu-img", command, "--output=json", *arguments]
    processes.run(argv, on_line=lines.append)
    return json.loads("\n".join(lines))
