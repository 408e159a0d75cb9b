"""Signing in from a browser: with a password, with a second factor after it, at a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog

from openrdms import ports
from openrdms.model.account import Account
from openrdms.model.directory import Flow
from openrdms.model.errors import AccessDenied, InvalidParameter, RdmsError, RecordsUnavailable
from openrdms.model.web_session import Scope
from openrdms.security.credentials import Credentials
from openrdms.security.directory_accounts import Adopting
from openrdms.security.lockout import Lockouts
from openrdms.security.pending import Pending
from openrdms.security.totp import SecondFactors

RecordRefusal = Callable[[str, str, str, str], None]
"""Told name, address, scheme and reason."""

SCHEME = "web"
"""What the audit log calls it."""

STEP_LIFE = timedelta(minutes=10)
"""How long somebody may take from his password to his code, or at the provider."""

_WRONG = "the name or the password is wrong"
_TOO_LATE = "it has taken too long: sign in again"

_log = structlog.get_logger(__name__)


class Locked(AccessDenied):
    """Too many failures; ``seconds`` until the next attempt is looked at."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many attempts; try again in {int(seconds) + 1} s")
        self.seconds = int(seconds) + 1


class WrongPassword(AccessDenied):
    """Or no such name: nobody is told which."""


class WrongCode(AccessDenied):
    """Not what the device shows now, or used already."""


class TooLate(AccessDenied):
    """What was begun is over, or was begun by somebody else."""


@dataclass(frozen=True)
class FirstStep:
    """Somebody whose password was right, and where he wants to go.

    What he has proved ``is_passing`` when it holds only while the records are away.
    """

    account: Account
    following: str
    is_passing: bool = False


@dataclass(frozen=True)
class Away:
    """Somebody who is at the provider, and where he wants to go."""

    flow: Flow
    following: str


@dataclass(frozen=True)
class Provider:
    """An OpenID provider, and how accounts are made of whom it names."""

    ask: ports.IdentityProvider
    adopting: Adopting


class SignIn:
    """Who somebody is. Safe from any thread; takes as long for any name of ours."""

    def __init__(
        self,
        credentials: Credentials,
        second_factors: SecondFactors,
        lockouts: Lockouts,
        record_refusal: RecordRefusal,
        clock: ports.Clock,
        provider: Provider | None = None,
    ) -> None:
        self.second_factors = second_factors
        self.provider = provider
        self._credentials = credentials
        self._lockouts = lockouts
        self._record_refusal = record_refusal
        self._steps = Pending[FirstStep](clock, STEP_LIFE)
        self._away = Pending[Away](clock, STEP_LIFE)

    def by_password(self, name: str, password: str, address: str) -> Account:
        """Whose password it is; a second factor may be needed. AccessDenied, Locked,
        DirectoryUnavailable.
        """
        return self._try(name, address, lambda: self._credentials.check(name, password, address))

    def by_password_alone(self, name: str, password: str, address: str, scope: Scope) -> Account:
        """The same where no second factor can be asked for: a token with ``scope`` may be sent."""
        scopes = frozenset({scope})
        return self._try(
            name, address, lambda: self._credentials.check_alone(name, password, address, scopes)
        )

    def begin_second_step(self, account: Account, following: str, address: str) -> str:
        """What the browser of somebody holds whose password was right."""
        return self._steps.put(FirstStep(account, following), address)

    def find_second_step(self, secret: str) -> FirstStep | None:
        """Who has begun; None when it is too long ago, or his account has changed since."""
        step = self._steps.find(secret)
        if step is None:
            return None
        present = self._credentials.find(step.account.name)
        return step if present and present.proof == step.account.proof else None

    def by_code(self, secret: str, code: str, address: str) -> FirstStep:
        """The one step of somebody who has a second factor. AccessDenied, Locked."""
        step = self._get_step(secret)
        try:
            self.check_code(step.account, code, address)
        except RecordsUnavailable:
            self._check_code(step.account, code, address, self.second_factors.check_late)
            return replace(self._take_step(secret), is_passing=True)
        return self._take_step(secret)

    def check_code(self, account: Account, code: str, address: str) -> None:
        """Take a code of his second factor. AccessDenied, Locked, RecordsUnavailable."""
        self._check_code(account, code, address, self.second_factors.check)

    def _check_code(
        self, account: Account, code: str, address: str, check: Callable[[Account, str], bool]
    ) -> None:
        place = _second_place(account)
        self._refuse_locked(account.name, address, place)
        if not check(account, code):
            self.failed(account.name, address, "wrong code", place)
            raise WrongCode("the code is wrong, or was used already")
        self._lockouts.succeeded(account.name, place)

    def prove_again(self, account: Account, password: str, code: str, address: str) -> None:
        """All that his sign-in asks for. AccessDenied, Locked, DirectoryUnavailable."""
        self.by_password(account.name, password, address)
        if self.second_factors.has(account):
            self.check_code(account, code, address)

    def by_enrolment(self, secret: str, code: str, address: str) -> tuple[FirstStep, list[str]]:
        """The same of somebody who must have one and is given it now, with recovery codes."""
        step = self._get_step(secret)
        place = _second_place(step.account)
        self._refuse_locked(step.account.name, address, place)
        try:
            codes = self.second_factors.enrol(step.account, code)
        except InvalidParameter as error:
            self.failed(step.account.name, address, "wrong code", place)
            raise WrongCode("the code is not what the device should show now") from error
        return self._take_step(secret), codes

    def leave(self, redirect_uri: str, following: str, address: str) -> tuple[str, str]:
        """To the provider: where that is, and what the browser holds meanwhile.

        DirectoryUnavailable.
        """
        flow = self._get_provider().ask.begin(redirect_uri)
        return flow.url, self._away.put(Away(flow, following), address)

    def come_back(
        self, secret: str, answer: Mapping[str, str], address: str
    ) -> tuple[Account, str]:
        """From the provider, once: who it is, and where he wants to go.

        AccessDenied, DirectoryUnavailable.
        """
        provider, away = self._get_provider(), self._away.take(secret)
        if away is None:
            self.refuse("", address, "no sign-in at the provider was begun here")
            raise TooLate(_TOO_LATE)
        name = ""
        try:
            user = provider.ask.finish(away.flow, answer)
            name = user.name
            account = provider.adopting.adopt(user, address)
        except RdmsError as error:
            self.refuse(name, address, str(error))
            raise
        if account is None:
            self.refuse(name, address, "disabled here")
            raise AccessDenied("the account is disabled here")
        return account, away.following

    def refuse(self, name: str, address: str, reason: str) -> None:
        """Record a refusal that is no guess."""
        try:
            self._record_refusal(name, address, SCHEME, reason)
        except RdmsError as error:  # refused it is all the same
            _log.error("refusal not recorded", address=address, refused=reason, error=str(error))

    def failed(self, name: str, address: str, reason: str, place: str = "") -> None:
        """Count and record a failure; it counts for ``place``, or else for the address."""
        self._lockouts.failed(name, place or address)
        self.refuse(name, address, reason)

    def _try(self, name: str, address: str, check: Callable[[], Account | None]) -> Account:
        self._refuse_locked(name, address)
        try:
            account = check()
        except RdmsError as error:  # the password was right, or nobody knows
            self.refuse(name, address, str(error))
            raise
        if account is None:
            self.failed(name, address, "wrong name or password")
            raise WrongPassword(_WRONG)
        self._lockouts.succeeded(name, address)
        return account

    def _refuse_locked(self, name: str, address: str, place: str = "") -> None:
        seconds = self._lockouts.seconds_locked(name, place or address)
        if seconds:
            self._lockouts.refused(name, place or address)
            self.refuse(name, address, "locked")
            raise Locked(seconds)

    def _get_step(self, secret: str) -> FirstStep:
        step = self.find_second_step(secret)
        if step is None:
            raise TooLate(_TOO_LATE)
        return step

    def _take_step(self, secret: str) -> FirstStep:
        step = self._steps.take(secret)
        if step is None:
            raise TooLate(_TOO_LATE)
        return step

    def _get_provider(self) -> Provider:
        if self.provider is None:
            raise AccessDenied("there is no provider to sign in at")
        return self.provider


def _second_place(account: Account) -> str:
    """Codes are counted for the account, wherever they come from: who guesses them has the
    password already, and perhaps many addresses.
    """
    return f"second factor of {account.name}"
