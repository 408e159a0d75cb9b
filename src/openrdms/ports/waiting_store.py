"""Who waits for a desktop of which collection."""

from __future__ import annotations

from typing import Protocol

from openrdms.model.waiting_line import Standing


class WaitingStore(Protocol):
    """Lines of people, first come first; who has not asked for LAPSE_SECONDS has lost his place.

    Names and aliases ignore case. The clock is the store's.
    """

    def ask_place(self, collection: str, holder: str) -> Standing:
        """Keep a place, at the end of the line when there is none yet."""

    def find_place(self, collection: str, holder: str) -> Standing | None:
        """Where he stands; None for who does not wait. Asking so keeps no place."""

    def keep_places(self, holder: str) -> None:
        """Keep every place that he has."""

    def leave_place(self, collection: str, holder: str) -> None:
        """Give up a place; having none is fine."""

    def count_places(self, collection: str) -> int:
        """How many wait."""

    def find_first(self, collection: str) -> str | None:
        """Whose turn it is."""
