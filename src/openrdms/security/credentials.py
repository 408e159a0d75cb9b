"""What a name and a password prove, and whether that is enough."""

from __future__ import annotations

from openrdms.model.account import Account
from openrdms.model.web_session import Scope
from openrdms.security.accounts import Accounts
from openrdms.security.api_tokens import PREFIX, ApiTokens
from openrdms.security.directory_accounts import DirectoryAccounts
from openrdms.security.totp import SecondFactors

ADMINISTRATION = frozenset({Scope.READ, Scope.WRITE, Scope.SESSIONS})
"""What a token needs to stand for a password where every operation may be asked for."""


class Credentials:
    """Safe from any thread."""

    def __init__(
        self,
        accounts: Accounts,
        tokens: ApiTokens,
        second_factors: SecondFactors,
        directory: DirectoryAccounts | None = None,
    ) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._second_factors = second_factors
        self._directory = directory

    def check(self, name: str, password: str, address: str) -> Account | None:
        """Whose password it is, here or in the directory.

        DirectoryUnavailable; AccessDenied for somebody who may have no account here.
        """
        if self._directory and self._directory.is_asked_for(name):
            return self._directory.verify(name, password, address)
        return self._accounts.verify(name, password, address)

    def check_alone(
        self, name: str, password: str, address: str, scopes: frozenset[Scope]
    ) -> Account | None:
        """The same where nothing more can be asked for.

        Who needs a second factor sends a token with all these scopes as his password.
        """
        if password.startswith(PREFIX):
            return self._check_token(name, password, scopes)
        account = self.check(name, password, address)
        return account if account and self.is_enough(account) else None

    def recall_alone(self, name: str, password: str, address: str) -> Account | None:
        """The same if it was right lately from there; takes microseconds."""
        account = self._accounts.recall(name, password, address)
        return account if account and self.is_enough(account) else None

    def find(self, name: str) -> Account | None:
        """The account, of somebody who has proved it before."""
        return self._accounts.find(name)

    def is_enough(self, account: Account) -> bool:
        """Whether a password proves the account by itself."""
        return not self._second_factors.is_needed(account)

    def _check_token(self, name: str, secret: str, scopes: frozenset[Scope]) -> Account | None:
        found = self._tokens.find(secret)
        if found is None:
            return None
        token, account = found
        is_his = account.name.casefold() == name.casefold()
        return account if is_his and scopes <= {*token.scopes} else None
