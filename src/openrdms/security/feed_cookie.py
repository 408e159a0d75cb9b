"""What clients of the feed hold after they have proved who they are (MS-TSWP 2.2.3).

Signed, and good until the service ends: clients prove themselves anew when they are sent to the
login page. It opens the feed and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import timedelta

from openrdms import ports
from openrdms.model.account import Account
from openrdms.security.accounts import Accounts

LIFE = timedelta(hours=12)
_MAC = 32


class FeedCookies:
    """Safe from any thread."""

    def __init__(self, accounts: Accounts, clock: ports.Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._key = secrets.token_bytes(_MAC)

    def issue(self, account: Account) -> str:
        """For somebody who has proved who he is."""
        ends = int((self._clock() + LIFE).timestamp())
        said = f"{ends}\n{account.name}".encode()
        return base64.urlsafe_b64encode(self._sign(said, account) + said).decode()

    def find(self, cookie: str) -> Account | None:
        """Whose it is; None when it is not ours, too old, or his account has changed since."""
        try:
            content = base64.urlsafe_b64decode(cookie.encode())
            mac, said = content[:_MAC], content[_MAC:]
            ends, name = said.decode().split("\n", 1)
            account = self._accounts.find(name)
            if account is None or int(ends) <= self._clock().timestamp():
                return None
        except (binascii.Error, ValueError):
            return None
        return account if hmac.compare_digest(mac, self._sign(said, account)) else None

    def _sign(self, said: bytes, account: Account) -> bytes:
        proof = f"\n{account.proof}".encode()
        return hmac.digest(self._key, said + proof, hashlib.sha256)
