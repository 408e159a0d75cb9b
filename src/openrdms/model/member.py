"""Services that share one database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Member:
    """One service, from its start to its end: what starts again is another member.

    ``id`` is 16 hexadecimal digits, ``name`` what people call its machine, ``address`` where
    clients reach it. Times are the database's.
    """

    id: str
    name: str
    address: str
    version: str
    began: datetime
    beat: datetime
    fenced: bool = False
    """It may no longer act: the others have taken it for dead. Never undone."""
    taken: bool = False
    """What it had begun has been handed on."""
