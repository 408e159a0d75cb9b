"""Leave to open a desktop's display, once and soon."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

LIFETIME = timedelta(seconds=30)
"""How long a ticket may be used."""


class Mode(StrEnum):
    """What a viewer may do."""

    VIEW = "view"
    CONTROL = "control"
    """To use keyboard and pointer as well."""


@dataclass(frozen=True)
class DisplayTicket:
    """For ``account``, to a desktop while ``holder`` has his ``stay`` in it (DesktopUse).

    Only a hash of what the browser holds is kept. ``seen`` is that of the use when it was issued:
    of somebody else's display, all who were logged on then have been told.
    """

    secret_hash: str = field(repr=False)
    account: str
    desktop: str
    mode: Mode
    holder: str
    stay: int
    seen: bool
    expires: datetime

    @property
    def is_holders(self) -> bool:
        """Whether it is for who has the desktop."""
        return self.account.casefold() == self.holder.casefold()
