"""How records tell that they have changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from openrdms.model.change import Kind

RecordListener = Callable[[Kind, Sequence[str]], None]


class RecordNotices(Protocol):
    """Tells of jobs, desktops and their uses, collections, images and settings of hosts."""

    def subscribe(self, listener: RecordListener) -> None:
        """Tell it, after each commit of this process, what was changed by it, by names as written.

        It must be quick and may not use the store.
        """
