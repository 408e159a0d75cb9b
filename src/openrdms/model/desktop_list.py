"""Lists of many desktops: what is asked for, and what is shown of each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from openrdms.model.desktop import DesktopStatus
from openrdms.model.desktop_use import Use


@dataclass(frozen=True)
class DesktopQuery:
    """Desktops on record that meet all conditions; "" and None are none.

    ``search`` is a part of the desktop's name, of its holder's or of the user's that it is
    assigned to. Names are compared ignoring case.
    """

    collection: str = ""
    host: str = ""
    use: Use | None = None
    search: str = ""


class DesktopRow(NamedTuple):
    """A desktop's record and its use (see ``Desktop`` and ``DesktopUse``)."""

    name: str
    host: str
    collection: str
    image: str
    status: DesktopStatus
    user: str | None
    user_domain: str | None
    use: Use
    since: datetime
    holder: str
    seen: bool
    saved: bool
    claim: str
    failures: int
    reason: str
    adopted: bool

    @property
    def key(self) -> str:
        """By which lists are ordered."""
        return self.name.casefold()


class UseCount(NamedTuple):
    """How many desktops of a collection, on a host, have that use."""

    collection: str
    host: str
    use: Use
    desktops: int
