"""How far a program is, read from what it prints."""

from __future__ import annotations

import re
from collections.abc import Callable

Report = Callable[[float, str], None]
"""Called with the fraction done, 0 to 1, and words for what is being done."""

_STAGES = {
    "running apt-get update": (0.02, "reading package lists"),
    "downloading packages": (0.05, "downloading packages"),
    "extracting archives": (0.08, "extracting the base system"),
    "installing essential packages": (0.20, "installing the base system"),
    "installing remaining packages": (0.35, "downloading packages"),
    "cleaning package lists": (0.88, "cleaning up"),
}
_FIRST, _LAST = 0.38, 0.88
_COUNT = re.compile(r"(\d+) newly installed")
_PACKAGE = re.compile(r"(Unpacking|Setting up) (\S+)")


class InstallProgress:
    """Follows the output of ``mmdebstrap --verbose``, mostly dpkg's, one line a call."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._remaining = False
        self._total = 0
        self._done = 0

    def __call__(self, line: str) -> None:
        for marker, (fraction, words) in _STAGES.items():
            if line.startswith("I: ") and marker in line:
                self._remaining = marker == "installing remaining packages"
                self._report(fraction, words)
        if self._remaining:
            self._count(line)

    def _count(self, line: str) -> None:
        if found := _COUNT.search(line):
            self._total = 2 * int(found[1])
        elif (found := _PACKAGE.match(line)) and self._total:
            self._done = min(self._done + 1, self._total)
            fraction = _FIRST + (_LAST - _FIRST) * self._done / self._total
            self._report(fraction, f"{found[1].lower()} {found[2]}")
