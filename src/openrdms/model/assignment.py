"""Personal session desktops: which user has which server of a collection to themselves."""

from __future__ import annotations

from dataclasses import dataclass

from openrdms.model.errors import InvalidParameter


@dataclass(frozen=True)
class Assignment:
    """One row of Win32_RDMSDesktopAssignment. Lookups ignore case.

    A user has at most one desktop in a collection, a desktop at most one user.
    """

    collection: str
    desktop: str
    user: str
    user_domain: str


@dataclass(frozen=True)
class AssignmentFilter:
    """What wanted assignments have; None is any."""

    collection: str | None = None
    desktop: str | None = None
    user: str | None = None
    user_domain: str | None = None


def check_user(user: str, domain: str) -> None:
    """InvalidParameter unless they are the two parts of DOMAIN\\USER (facts d)."""
    for field, text in (("UserName", user), ("UserDomain", domain)):
        if not text.strip():
            raise InvalidParameter(field, "is empty")
        if "\\" in text:
            raise InvalidParameter(field, f"{text!r} has a backslash: name and domain are apart")
