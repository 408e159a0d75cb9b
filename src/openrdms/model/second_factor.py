"""What somebody has besides his password: a device that counts time with a secret (RFC 6238)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

STEP_SECONDS = 30
DIGITS = 6
"""What all such devices take (RFC 6238, Google's key URI format)."""

RECOVERY_CODES = 10
"""For who has lost his device; each is good once."""


@dataclass(frozen=True)
class SecondFactor:
    """Of an account. ``secret`` is encrypted; ``recovery`` are hashes of the codes not yet used.

    ``last_step`` is the time step of the last code that was taken: none is taken twice.
    """

    account: str
    secret: str = field(repr=False)
    last_step: int
    recovery: tuple[str, ...] = field(repr=False)
    enrolled: datetime
