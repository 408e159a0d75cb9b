"""Accounts of this deployment: their names, roles and security identifiers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from openrdms.model.errors import InvalidParameter

MAX_NAME = 127
MIN_PASSWORD = 8
"""Characters. The shortest password that ``rdms user`` takes."""

ADMINISTRATOR_RID = 500
FIRST_RID = 1000
"""RIDs as Windows gives them: the built-in administrator, and the first that is made (MS-DTYP)."""

EVERYONE = "S-1-1-0"
AUTHENTICATED_USERS = "S-1-5-11"
"""Well-known SIDs that every account of ours has (MS-DTYP 2.4.2.4)."""


_NTLM_NAME = re.compile(r"[A-Za-z0-9._-]+")


class Role(StrEnum):
    """What an account may do; ``security.policy`` says what that is."""

    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    HELPDESK = "helpdesk"
    AUDITOR = "auditor"
    USER = "user"
    """Uses desktops: no right here at all, but a SID that security descriptors may name."""


@dataclass(frozen=True)
class Account:
    """Somebody who may sign in, or use what is published.

    ``password_hash`` is argon2id as its reference implementation writes it, "" for an account
    that signs in without a password of ours, such as the Kerberos principal ``alice@REALM``.
    With ``ntlm`` its NT hash is kept too, in a file. ``from_options`` is an account that the
    service's options have named: they say what its password is.

    ``source`` is "" for an account that is ours, else the directory that knows it by
    ``external_id``, which no other entry there ever has. What that says of its groups is in
    ``directory_groups`` (SOURCE\\NAME, which no group of ours can be called) and, in the same
    order, ``directory_sids``.
    """

    name: str
    sid: str
    password_hash: str = field(repr=False)
    role: Role
    groups: tuple[str, ...]
    ntlm: bool
    enabled: bool
    from_options: bool
    created: datetime
    changed: datetime
    source: str = ""
    external_id: str = ""
    directory_groups: tuple[str, ...] = ()
    directory_sids: tuple[str, ...] = ()

    @property
    def proof(self) -> str:
        """What must be as it was for a sign-in to hold. Roles may change beneath it."""
        return f"{self.sid}\n{self.password_hash}\n{self.source}\n{self.external_id}"


def check_name(name: str, field: str = "name") -> None:
    """InvalidParameter for what cannot name an account or a group.

    A backslash ends a domain; a colon ends a name in Basic credentials and in the file of NT
    hashes, and so does every line separator, which are among what cannot be printed.
    """
    if not name.strip() or len(name) > MAX_NAME:
        raise InvalidParameter(field, f"must have 1 to {MAX_NAME} characters")
    wrong = [letter for letter in name if letter in "\\:" or not letter.isprintable()]
    if wrong:
        raise InvalidParameter(field, f"may not contain {wrong[0]!a}")


def is_ntlm_name(name: str) -> bool:
    """True when every client and pyspnego write the name in the same way."""
    return _NTLM_NAME.fullmatch(name) is not None


def check_ntlm_name(name: str) -> None:
    """InvalidParameter unless it is such a name."""
    if not is_ntlm_name(name):
        raise InvalidParameter("ntlm", f"{name!r} has other characters than A-Z a-z 0-9 . _ -")


def check_new_password(password: str) -> None:
    """InvalidParameter for one that is too short."""
    if len(password) < MIN_PASSWORD:
        raise InvalidParameter("password", f"needs at least {MIN_PASSWORD} characters")
