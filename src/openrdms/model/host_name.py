"""Host names as clients of the interface accept them (facts d)."""

from __future__ import annotations

import re

from openrdms.model.errors import InvalidParameter

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_FULL = re.compile(rf"(?=.{{3,254}}\Z){_LABEL}(\.{_LABEL})+")


def is_full_name(text: str) -> bool:
    """A DNS name of two labels or more, without a dot at its end, shorter than 255."""
    return _FULL.fullmatch(text) is not None


def check_full_name(field: str, text: str) -> None:
    """InvalidParameter naming ``field`` unless it is a full host name."""
    if not is_full_name(text):
        raise InvalidParameter(field, f"{text!r} is not a full host name (HOST.DOMAIN)")
