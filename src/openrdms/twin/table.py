"""Tables of a TOML document, read field by field; whatever is wrong is named by its path."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from openrdms.model.errors import InvalidParameter

_MOST = 1e9
"""Of anything that is counted or measured; TOML knows inf, and integers of any size."""


class Table:
    """One table. ``path`` is how error messages call it: "events[2]"; "" is the document.

    Every method takes a field's name and raises InvalidParameter with its path. A field without
    a default must be there.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = dict(values)
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def path(self, name: str) -> str:
        """What a message calls the field."""
        return f"{self._path}.{name}" if self._path else name

    def number(
        self,
        name: str,
        default: float | None = None,
        *,
        low: float = 0.0,
        high: float = _MOST,
    ) -> float:
        """A number from ``low`` to ``high``."""
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidParameter(self.path(name), f"{value!r} is not a number")
        if not low <= value <= high:  # written so that NaN is refused too
            raise InvalidParameter(self.path(name), f"{value} is not between {low:g} and {high:g}")
        return value

    def count(self, name: str, default: int | None = None, *, low: int = 0) -> int:
        """A whole number of at least ``low``."""
        value = self.number(name, default, low=low)
        if value != int(value):
            raise InvalidParameter(self.path(name), f"{value} is not a whole number")
        return int(value)

    def span(self, name: str, default: tuple[float, float]) -> tuple[float, float]:
        """Two numbers, the smaller first."""
        value = self._take(name, list(default))
        if not isinstance(value, list) or len(value) != 2:
            raise InvalidParameter(self.path(name), f"{value!r} is not a pair: [least, most]")
        pair = Table({"least": value[0], "most": value[1]}, self.path(name))
        least = pair.number("least")
        return least, pair.number("most", low=least)

    def text(self, name: str, default: str | None = None) -> str:
        """A text."""
        value = self._take(name, default)
        if not isinstance(value, str):
            raise InvalidParameter(self.path(name), f"{value!r} is not a text")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise InvalidParameter(self.path(name), f"{value!r} is neither true nor false")
        return value

    def choice(self, name: str, known: Collection[str], default: str | None = None) -> str:
        """One of ``known``."""
        value = self.text(name, default)
        if value not in known:
            words = ", ".join(sorted(known))
            raise InvalidParameter(self.path(name), f"{value!r} is none of {words}")
        return value

    def table(self, name: str) -> Table:
        """A table; empty when it is not there."""
        value = self._take(name, {})
        if not isinstance(value, dict):
            raise InvalidParameter(self.path(name), "is not a table")
        return Table(value, self.path(name))

    def tables(self, name: str) -> list[Table]:
        """An array of tables, [[name]]; empty when it is not there."""
        value = self._take(name, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise InvalidParameter(self.path(name), f"is not an array of tables: [[{name}]]")
        return [Table(one, f"{self.path(name)}[{index}]") for index, one in enumerate(value, 1)]

    def end(self) -> None:
        """Nothing may be left that was not asked for."""
        for name in self._values:
            raise InvalidParameter(self.path(name), "there is no such field")

    def _take(self, name: str, default: object) -> Any:
        value = self._values.pop(name, default)
        if value is None:
            raise InvalidParameter(self.path(name), "is missing")
        return value
