"""What entries of LDAP directories say, in the ways that they say it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from openrdms.model.errors import DirectoryUnavailable

Entry = tuple[str, Mapping[str, Sequence[bytes]]]
"""A DN and its attributes, by their names in lower case."""

IDENTIFIERS = ("entryUUID", "objectGUID", "nsUniqueId")
STATUS = ("userAccountControl", "accountExpires", "nsAccountLock", "pwdAccountLockedTime")
"""What says that somebody may not sign in: MS-ADTS 2.2.16, 389 Directory Server, ppolicy."""

_ACCOUNT_DISABLE = 0x2
_NEVER = (0, 0x7FFF_FFFF_FFFF_FFFF)
_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_LOCKED_FOR_GOOD = "000001010000Z"


def text_of(entry: Entry, name: str) -> str:
    """The first value, "" for none."""
    values = entry[1].get(name.lower(), ())
    return values[0].decode("utf-8", "replace") if values else ""


def external_id_of(entry: Entry) -> str:
    """What the entry has however it is renamed or moved. DirectoryUnavailable without any."""
    guid = entry[1].get("objectguid")
    if guid:
        return str(uuid.UUID(bytes_le=bytes(guid[0])))  # MS-DTYP 2.3.4.2
    found = text_of(entry, "entryUUID") or text_of(entry, "nsUniqueId")
    if not found:
        raise DirectoryUnavailable("the directory shows no entryUUID, objectGUID or nsUniqueId")
    return found.lower()


def sid_of(entry: Entry) -> str:
    """Its objectSid as text (MS-DTYP 2.4.2); "" for none."""
    values = entry[1].get("objectsid", ())
    if not values or len(values[0]) < 8:
        return ""
    octets = values[0]
    authority = int.from_bytes(octets[2:8], "big")
    parts = [int.from_bytes(octets[at : at + 4], "little") for at in range(8, len(octets), 4)]
    return "-".join(["S", str(octets[0]), str(authority), *map(str, parts)])


def may_sign_in(entry: Entry, now: datetime) -> bool:
    """False for an entry that is disabled, expired or locked by an administrator."""
    if int(text_of(entry, "userAccountControl") or 0) & _ACCOUNT_DISABLE:
        return False
    expires = int(text_of(entry, "accountExpires") or 0)
    if expires not in _NEVER and _FILETIME_EPOCH + timedelta(microseconds=expires // 10) <= now:
        return False
    if text_of(entry, "nsAccountLock").lower() == "true":
        return False
    return text_of(entry, "pwdAccountLockedTime") != _LOCKED_FOR_GOOD
