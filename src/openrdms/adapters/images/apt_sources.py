"""The package sources this machine already trusts, read as apt reads them (sources.list(5)).

Images are built from the same mirror with the same keys, so nothing has to be configured and no
host name is written anywhere in this product.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from openrdms.model.errors import OperationFailed

_CARRIED = ("signed-by", "trusted", "check-valid-until", "allow-weak", "allow-insecure")
"""Options that decide whether a source is trusted; the rest do not concern an image."""

_ONE_LINE = re.compile(r"^deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<rest>.+)$")


@dataclass(frozen=True)
class AptSource:
    """One ``deb`` entry: a mirror, one suite of it and its components."""

    uri: str
    suite: str
    components: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)

    def render(self) -> str:
        """The one-line form, of component main."""
        options = " ".join(f"{name}={value}" for name, value in self.options.items())
        return f"deb [{options}] {self.uri} {self.suite} main".replace("[] ", "")


def parse_one_line(text: str) -> Iterator[AptSource]:
    """Entries of a ``.list`` file."""
    for line in text.splitlines():
        match = _ONE_LINE.match(line.split("#", 1)[0].strip())
        if match is None:
            continue
        pairs = (option.partition("=") for option in shlex.split(match["options"] or ""))
        options = {name.lower(): value for name, _, value in pairs}
        suite, *components = match["rest"].split()
        yield AptSource(match["uri"], suite, tuple(components), _carried(options))


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Entries of a ``.sources`` file. A key inside Signed-By is left to apt's trusted keys."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields = _fields(stanza)
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "without", "off")
        if not enabled or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                components = tuple(fields.get("components", "").split())
                yield AptSource(uri, suite, components, _carried(fields))


def find_sources(suite: str, directory: Path = Path("/etc/apt")) -> list[AptSource]:
    """Sources of ``suite``, its updates and its security fixes, component main.

    Raises OperationFailed when the machine has none of the suite itself.
    """
    wanted = (suite, f"{suite}-updates", f"{suite}-security")
    found = [s for s in _read(directory) if s.suite in wanted and "main" in s.components]
    if not any(source.suite == suite for source in found):
        raise OperationFailed(
            f"no apt source of Debian {suite} main in {directory}: images are built from the "
            "packages this machine's own sources offer"
        )
    return found


def _read(directory: Path) -> Iterator[AptSource]:
    parts = directory / "sources.list.d"
    for path in [directory / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            yield from parse_one_line(path.read_text())
    for path in sorted(parts.glob("*.sources")):
        yield from parse_deb822(path.read_text())


def _fields(stanza: str) -> dict[str, str]:
    """Field names in lower case; continuation lines joined by newlines; comments dropped."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1] in (" ", "\t"):
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
            continue
        name, _, value = line.partition(":")
        name = name.strip().lower()
        fields[name] = value.strip()
    return fields


def _carried(options: dict[str, str]) -> dict[str, str]:
    return {n: v for n, v in options.items() if n in _CARRIED and v and "\n" not in v}
