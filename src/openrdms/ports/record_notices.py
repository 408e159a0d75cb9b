"""How records tell that they have changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from openrdms.model.change import Kind

RecordListener = Callable[[Kind, Sequence[str]], None]


class RecordNotices(Protocol):
    """Tells of jobs, desktops and their uses, collections, images and settings of hosts."""

    def subscribe(self, listener: RecordListener) -> None:
        """Tell it, after each commit, what was changed by it, by names as written.

        Commits of this process and, once ``listen`` was called, of other services that have the
        same records. It must be quick and may not use the store.
        """

    def listen(self, listener: RecordListener, missed: Callable[[], None]) -> None:
        """Hear of the commits of others from now on, of none that came since the store was opened
        too late; call it once. ``listener`` is told of those alone.

        ``missed``: some may not have been heard, so whatever was read before may be outdated. Both
        must be quick and may not use the store. Nothing where a service is alone.
        """

    def tell_others(self, kind: Kind, keys: Sequence[str]) -> None:
        """Have other services that listen told of something that is on no record, each key of at
        most 6,900 octets. It waits for nobody who writes.
        """
