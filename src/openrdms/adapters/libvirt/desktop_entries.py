"""Installed applications from the desktop entries of a Linux guest. No I/O.

By the Desktop Entry Specification 1.5, as by a desktop environment that has no name: entries
that are only for some environment (OnlyShowIn) are not shown. Programs that are not installed
hide their entry, as in GLib. Names are those without a language.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from openrdms.model.host import InstalledApplication

TERMINAL = ("x-terminal-emulator", "-e")
"""What a program runs in that has no window of its own (Debian policy 11.8.3)."""

_GROUP = "[Desktop Entry]"
_TRUE = "true"
_ESCAPE = re.compile(r"\\([sntr\\])")
_ESCAPED = {"s": " ", "n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
_WORD = re.compile(r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\s"'\\])+""", re.DOTALL)
_PIECE = re.compile(r"""("(?:[^"\\]|\\.)*")|('[^']*')|\\(.)|([^\s"'\\]+)""", re.DOTALL)
_QUOTED = re.compile(r'\\(["`$\\])')
_FIELD_CODE = re.compile("%(.)", re.DOTALL)


@dataclass(frozen=True)
class DesktopEntry:
    """An entry that is shown if the programs it ``needs`` are there; ``argv`` without files."""

    name: str
    icon: str
    argv: tuple[str, ...]
    needs: frozenset[str]

    def locate(self, places: Mapping[str, str]) -> InstalledApplication | None:
        """The application, by the full paths of programs; None when one it needs has none."""
        if not self.needs <= places.keys():
            return None
        path = places[self.argv[0]]
        return InstalledApplication(self.name, path, shlex.join(self.argv[1:]), self.icon)


def parse_entries(text: str) -> list[DesktopEntry]:
    """Entries that are shown, from the output of ``linux_scripts.LIST_APPLICATIONS``."""
    found = (_read(keys) for keys in _first_of_each(text).values())
    return [entry for entry in found if entry]


def _first_of_each(text: str) -> dict[str, dict[str, str]]:
    """Keys by desktop file id: an entry hides those of its id in later directories."""
    files: dict[str, dict[str, str]] = {}
    chosen: dict[str, str] = {}
    group = ""
    for line in text.split("\n"):
        path, separator, content = line.partition("\0")
        if not separator:
            continue
        file_id = path.partition("/applications/")[2].replace("/", "-")
        if chosen.setdefault(file_id, path) != path:
            continue
        keys = files.setdefault(file_id, {})
        if content.startswith("["):
            group = content.strip()
        elif group == _GROUP:
            key, _, value = content.partition("=")
            keys.setdefault(key.rstrip(" \t"), value.strip(" \t\r"))
    return files


def _read(keys: Mapping[str, str]) -> DesktopEntry | None:
    """None for what is hidden, no application, or starts nothing by itself."""
    if keys.get("Type") != "Application" or keys.get("OnlyShowIn"):
        return None
    if _TRUE in (keys.get("NoDisplay"), keys.get("Hidden")):
        return None
    name = _unescape(keys.get("Name", ""))
    argv = tuple(split_exec(_unescape(keys.get("Exec", "")), name))
    if not name or not argv:
        return None
    needs = {argv[0], _unescape(keys.get("TryExec", "")) or argv[0]}
    if keys.get("Terminal") == _TRUE:
        argv = TERMINAL + argv
        needs.add(argv[0])
    return DesktopEntry(name, _unescape(keys.get("Icon", "")), argv, frozenset(needs))


def split_exec(command: str, name: str) -> Iterator[str]:
    """The arguments of an Exec value, its field codes filled in as for no file.

    Arguments that are a field code only are left out. Quoting beyond the specification (single
    quotes, bare backslashes) is read as a shell does, because entries use it. Nothing comes of
    what is not quoted to its end.
    """
    if _WORD.sub("", command).strip():
        return
    for word in _WORD.findall(command):
        argument = "".join(_unquote(*piece) for piece in _PIECE.findall(word))
        filled = _FIELD_CODE.sub(lambda code: {"%": "%", "c": name}.get(code[1], ""), argument)
        if filled or not argument:
            yield filled


def _unquote(double: str, single: str, escaped: str, plain: str) -> str:
    return _QUOTED.sub(r"\1", double[1:-1]) + single[1:-1] + escaped + plain


def _unescape(value: str) -> str:
    """A value of type string (section "Possible value types")."""
    return _ESCAPE.sub(lambda escape: _ESCAPED[escape[1]], value)


def name_programs(entries: Iterable[DesktopEntry]) -> list[str]:
    """All programs that entries need and that a path can be asked for, which is one line."""
    needed = frozenset[str]().union(*(entry.needs for entry in entries))
    return sorted(program for program in needed if "\n" not in program)


def read_places(programs: Iterable[str], text: str) -> dict[str, str]:
    """Full paths by program, from the output of ``linux_scripts.FIND_PROGRAMS``."""
    lines = zip(programs, text.split("\n"), strict=False)
    return {program: path for program, path in lines if path.startswith("/")}
