"""Lists of many desktops."""

from __future__ import annotations

from typing import Protocol

from openrdms.model.desktop_list import DesktopQuery, DesktopRow, UseCount


class DesktopListStore(Protocol):
    """Reads that stay quick with very many desktops."""

    def list_rows(self, query: DesktopQuery, after: str, limit: int) -> list[DesktopRow]:
        """The first ``limit`` whose case-folded name is above ``after``, in order of it."""

    def find_row(self, name: str) -> DesktopRow | None: ...
    def count_rows(self, query: DesktopQuery) -> int: ...

    def tally_uses(self) -> list[UseCount]:
        """Of all desktops on record; only what occurs, in no order."""
