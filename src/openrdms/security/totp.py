"""Second factors: codes of a device that counts time (RFC 6238), and codes for who has lost it.

A secret is kept encrypted under a key that is no part of the records; recovery codes, which are
random, as hashes. While the records are away codes of devices are taken by what they said last.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyotp
from cryptography.fernet import Fernet, InvalidToken

from openrdms import config, ports
from openrdms.model.account import Account, Role
from openrdms.model.errors import (
    AlreadyExists,
    InvalidParameter,
    OperationFailed,
    RecordsUnavailable,
)
from openrdms.model.second_factor import DIGITS, RECOVERY_CODES, STEP_SECONDS, SecondFactor
from openrdms.security.accounts import Accounts
from openrdms.security.late_steps import LateSteps
from openrdms.security.shared_key import SharedKey
from openrdms.security.web_sessions import hash_secret

ISSUER = "OpenRDMS"
"""What devices list the secret under."""

PROPOSED = timedelta(minutes=10)
"""How long somebody may take to bring a new secret to his device."""

_TOLERATED = 1
"""Steps that a device's clock may be off (RFC 6238 5.2)."""

_FEW = 20
"""Accounts that are asked for one by one; of more, all are."""

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
_CODE_LENGTH = 15
"""74 random bits: a hash without salt is enough."""


@dataclass(frozen=True)
class Proposal:
    """A secret that a device is to have, and the address by which a camera takes it."""

    secret: str
    uri: str


class SecondFactors:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.SecondFactorStore,
        accounts: Accounts,
        key_file: Path,
        clock: ports.Clock,
        shared: SharedKey | None = None,
    ) -> None:
        """``key_file`` is made at first, and not asked for with a ``shared`` key.

        InvalidParameter when there is no key in it.
        """
        self._store = store
        self._accounts = accounts
        self._clock = clock
        self._required: frozenset[Role] = frozenset()
        self._cipher = Fernet(shared.totp_key) if shared else _read_key(key_file)
        self._lock = threading.Lock()
        self._proposed: dict[str, tuple[str, datetime]] = {}
        self._factors = {one.account.casefold(): one for one in store.list_second_factors()}
        self._is_known: Callable[[], bool] = lambda: False
        self.late_steps = LateSteps(store)
        accounts.subscribe(self._forget_removed)

    def require(self, roles: frozenset[Role]) -> None:
        """Accounts with these roles must have one from now on."""
        self._required = roles

    def go_by_memory(self, is_known: Callable[[], bool]) -> None:
        """Take codes while the records are away, and what is in memory ``is_known`` to hold."""
        self._is_known = is_known

    def has(self, account: Account) -> bool:
        """Whether he has one."""
        return account.name.casefold() in self._factors

    def is_required(self, account: Account) -> bool:
        """Whether his role must have one. Who signs in at a provider has what that asks for."""
        return account.role in self._required

    def is_needed(self, account: Account) -> bool:
        """Whether his password alone is not enough."""
        return self.has(account) or self.is_required(account)

    def propose(self, account: Account) -> Proposal:
        """A new secret; the same one for some minutes, however often the page is asked for."""
        key, now = account.name.casefold(), self._clock()
        with self._lock:
            self._proposed = {name: one for name, one in self._proposed.items() if one[1] > now}
            fresh = (pyotp.random_base32(), now + PROPOSED)
            secret, _ = self._proposed.setdefault(key, fresh)
        uri = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS).provisioning_uri(
            name=account.name, issuer_name=ISSUER
        )
        return Proposal(secret, uri)

    def enrol(self, account: Account, code: str) -> list[str]:
        """Take the proposed secret when the device shows its code; returns recovery codes.

        They are told this once. InvalidParameter; AlreadyExists for who has one.
        """
        with self._lock:
            secret, ends = self._proposed.get(account.name.casefold(), ("", self._clock()))
        step = self._find_step(secret, code) if secret and ends > self._clock() else None
        if step is None:
            raise InvalidParameter("code", "is not what the device should show now")
        codes = [_make_code() for _ in range(RECOVERY_CODES)]
        factor = SecondFactor(
            account=account.name,
            secret=self._cipher.encrypt(secret.encode()).decode(),
            last_step=step,
            recovery=tuple(hash_secret(_normalize(one)) for one in codes),
            enrolled=self._clock(),
        )
        if not self._store.add_second_factor(factor):
            raise AlreadyExists("there is a device already: remove it first")
        with self._lock:
            self._proposed.pop(account.name.casefold(), None)
            self._factors[account.name.casefold()] = factor
        return codes

    def check(self, account: Account, code: str) -> bool:
        """Whether it is right, and taken: it is good for nobody after that. OperationFailed."""
        self.late_steps.write(account.name)
        factor = self._store.find_second_factor(account.name)
        if factor is None:
            return False
        if _is_recovery(code):
            return self._store.use_recovery_code(account.name, hash_secret(_normalize(code)))
        step = self._find_step(self._decrypt(factor), code)
        if step is None or not self._store.use_time_step(account.name, step):
            return False
        self.late_steps.note(account.name, step)
        return True

    def check_late(self, account: Account, code: str) -> bool:
        """The same while the records are away: it is good for nobody at this service after that.

        RecordsUnavailable for recovery codes, and when it is not known what holds.
        """
        known = self._factors.get(account.name.casefold())
        if known is None or _is_recovery(code) or not self._is_known():
            raise RecordsUnavailable("records: the database does not answer; try again")
        step = self._find_step(self._decrypt(known), code)
        return step is not None and self.late_steps.take(account.name, step, known.last_step)

    def remove(self, account: Account) -> None:
        """He has lost it, or wants none."""
        self._store.delete_second_factor(account.name)
        with self._lock:
            self._factors.pop(account.name.casefold(), None)

    def reread(self, names: Sequence[str]) -> None:
        """Another service may have changed them, or taken codes. RecordsUnavailable."""
        if len(names) > _FEW:
            self.reread_all()
            return
        for name in names:
            with self._lock:
                found = self._store.find_second_factor(name)
                if found:
                    self._factors[name.casefold()] = found
                else:
                    self._factors.pop(name.casefold(), None)

    def reread_all(self) -> None:
        """The same of everybody. RecordsUnavailable."""
        with self._lock:  # so that who has one since is not forgotten
            found = self._store.list_second_factors()
            self._factors = {one.account.casefold(): one for one in found}

    def _find_step(self, secret: str, code: str) -> int | None:
        """The step whose code it is, among those about now."""
        device = pyotp.TOTP(secret, digits=DIGITS, interval=STEP_SECONDS)
        given = "".join(code.split()).encode()
        present = int(self._clock().timestamp()) // STEP_SECONDS
        about = range(present - _TOLERATED, present + _TOLERATED + 1)
        fits = [step for step in about if hmac.compare_digest(given, _code_at(device, step))]
        return fits[-1] if fits else None

    def _decrypt(self, factor: SecondFactor) -> str:
        try:
            return self._cipher.decrypt(factor.secret.encode()).decode()
        except InvalidToken as error:
            raise OperationFailed(
                "the second factor cannot be read: it was encrypted under another key"
            ) from error

    def _forget_removed(self, name: str) -> None:
        if self._accounts.look(name) is None:
            with self._lock:
                self._factors.pop(name.casefold(), None)


def _code_at(device: pyotp.TOTP, step: int) -> bytes:
    return device.generate_otp(step).encode()


def _make_code() -> str:
    letters = [secrets.choice(_ALPHABET) for _ in range(_CODE_LENGTH)]
    return "-".join("".join(letters[at : at + 5]) for at in range(0, _CODE_LENGTH, 5))


def _is_recovery(code: str) -> bool:
    return len(_normalize(code)) == _CODE_LENGTH


def _normalize(code: str) -> str:
    return "".join(letter for letter in code.lower() if letter.isalnum())


def _read_key(file: Path) -> Fernet:
    if not file.exists():
        config.write_atomically(file, Fernet.generate_key().decode() + "\n", 0o600)
    try:
        return Fernet(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError) as error:
        raise InvalidParameter("security/totp-key", f"is no key: {error}") from error
