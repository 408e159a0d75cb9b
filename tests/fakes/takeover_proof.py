"""A file with a line for each seed that was run, whole whenever it is looked at."""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path

from fakes.code_digest import digest_code

TAKEOVER_SECONDS = 5.0
"""A job is another service's at the latest then, when the one that had it has died."""

_LINE = re.compile(r" *(\d+) (create|delete);")
_DEATH = re.compile(r"taken over ([\d.]+) s after its death(?! \()")
_WELL = "; well"


class Proof:
    """Lines of other plans than these, of jobs of another size or of other code are not kept."""

    def __init__(self, file: Path, count: int, plans: Mapping[int, object]) -> None:
        """``plans``: what each seed stands for, with jobs of so many desktops."""
        self.count = count
        self._file = file
        digest = zlib.crc32(repr(plans).encode())
        self._head = (
            f"Three services, jobs of {count} desktops, plans {digest:08x}, code {digest_code()}"
        )
        self._lines: dict[int, str] = {}
        self._seeds = list(plans)
        self._changing = threading.Lock()
        text = file.read_text() if file.exists() else ""
        if text.startswith(self._head + "\n"):
            found = ((_LINE.match(line), line) for line in text.splitlines())
            self._lines = {int(match[1]): line for match, line in found if match}

    @property
    def missing(self) -> list[int]:
        """Seeds that were not run yet, well or not."""
        return [seed for seed in self._seeds if seed not in self._lines]

    def add(self, seed: int, line: str) -> None:
        """What came of a seed."""
        with self._changing:
            self._lines[seed] = line
            lines = [line for _, line in sorted(self._lines.items())]
            new = self._file.with_suffix(".new")
            new.write_text("\n".join([self._head, *lines, self.summary]) + "\n")
            new.replace(self._file)

    @property
    def is_well(self) -> bool:
        """All that was run, and each takeover after a death in time."""
        slowest = max(self._takeovers, default=0)
        return len(self._well) == len(self._lines) and slowest <= TAKEOVER_SECONDS

    @property
    def summary(self) -> str:
        """In one line."""
        taken = self._takeovers
        return (
            f"{len(self._lines)} of {len(self._seeds)} seeds, {len(self._well)} well; {len(taken)} "
            f"takeovers after a death, {max(taken, default=0):.1f} s at most"
        )

    @property
    def _well(self) -> list[str]:
        return [line for line in self._lines.values() if line.endswith(_WELL)]

    @property
    def _takeovers(self) -> list[float]:
        """Seconds."""
        return [float(one) for line in self._lines.values() for one in _DEATH.findall(line)]
