"""Everything of ours that lies about on a host, found without asking our records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

_EMULATOR = "qemu-system-"


def find_processes(markers: Iterable[Path]) -> Iterator[tuple[int, str]]:
    """QEMU processes with one of these directories in their arguments: pid and VM name."""
    wanted = [f"{marker}/" for marker in markers]
    for directory in Path("/proc").glob("[0-9]*"):
        arguments = _arguments(directory)
        if _EMULATOR in Path(arguments[0]).name and any(
            marker in argument for argument in arguments for marker in wanted
        ):
            yield int(directory.name), _guest_name(arguments)


def _arguments(process: Path) -> list[str]:
    try:
        return process.joinpath("cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]  # it ended meanwhile


def _guest_name(arguments: list[str]) -> str:
    """NAME from ``-name guest=NAME,debug-threads=on``; QEMU doubles commas within names."""
    _, _, rest = "\0".join(arguments).partition("\0-name\0guest=")
    return rest.partition("\0")[0].removesuffix(",debug-threads=on").replace(",,", ",")
