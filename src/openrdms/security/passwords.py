"""Passwords: how they are kept, how they are checked, and how often that must be paid for."""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
from collections import OrderedDict
from datetime import datetime, timedelta
from pathlib import Path

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from openrdms import ports
from openrdms.model.account import Account
from openrdms.model.errors import InvalidParameter

REMEMBERED = timedelta(minutes=5)
"""How long a verified password is known again without argon2."""

_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=47_104, parallelism=1)
"""46 MiB, one pass, one lane: OWASP's Password Storage Cheat Sheet. About 50 ms."""

MAX_REMEMBERED = 10_000
"""Accounts and addresses; the first of them is forgotten first."""

_AT_ONCE = 2
"""Passwords checked at once: bounds the memory that strangers can make us use to 92 MiB."""


def read_password_file(field: str, file: Path) -> str:
    """The password is the file's first line. InvalidParameter when there is none to read."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter(field, f"cannot read {file}: {error}") from error
    password = text.partition("\n")[0].removesuffix("\r")
    if not password:
        raise InvalidParameter(field, f"{file} has no password in it")
    return password


def hash_password(password: str) -> str:
    """argon2id as its reference implementation writes it, with a salt of its own."""
    return _HASHER.hash(_octets(password))


def is_outdated(password_hash: str) -> bool:
    """True when it was made with other parameters than it would be now."""
    return _HASHER.check_needs_rehash(password_hash)


class Passwords:
    """Checks passwords and remembers, by a hash under a key of this process, which were right.

    For each address by itself: what is remembered costs no argon2 and is not locked, so it must
    not answer the guesses of somebody elsewhere.
    """

    def __init__(self, clock: ports.Clock) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._nobody = _unmatched_hash()
        self._remembered: OrderedDict[tuple[str, str], tuple[Account, bytes, datetime]] = (
            OrderedDict()
        )
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def recall(self, account: Account, password: str, address: str) -> bool:
        """True when it was verified lately from there and the account has not changed since."""
        known = self._remembered.get((account.name, address))
        if known is None or known[0] is not account:  # another object: the account has changed
            return False
        age = self._clock() - known[2]
        same = hmac.compare_digest(known[1], self._hash(password))
        return same and timedelta(0) <= age < REMEMBERED

    def verify(self, account: Account | None, password: str, address: str) -> bool:
        """True when it is the account's. Without an account it is not, after as long a time."""
        with self._slots:
            # A client's connections often sign in at once: the first has paid for the others.
            if account and self.recall(account, password, address):
                return True
            right = _matches((account and account.password_hash) or self._nobody, password)
            if right and account:
                self._remember(account, password, address)
            return right

    def _remember(self, account: Account, password: str, address: str) -> None:
        self._remembered[account.name, address] = account, self._hash(password), self._clock()
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _hash(self, password: str) -> bytes:
        return hmac.digest(self._key, _octets(password), "sha256")


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _HASHER.verify(password_hash, _octets(password))
    except (VerificationError, InvalidHashError):
        return False


def _unmatched_hash() -> str:
    """What no password has, as costly to check as any."""
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32)
    )
    costs = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"


def _octets(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
