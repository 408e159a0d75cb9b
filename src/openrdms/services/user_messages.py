"""What administrators have told users lately, for who did not see it on his desktop."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.user_message import KEPT, UserMessage
from openrdms.security.accounts import Accounts

_log = structlog.get_logger(__name__)


class UserMessages:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.UserMessageStore,
        accounts: Accounts,
        clock: ports.Clock,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._clock = clock

    def note(self, user: str, title: str, text: str) -> None:
        """A message was shown in a session of somebody; nothing for who is no account of ours."""
        account = self._accounts.find(user)
        if account is None:
            return
        now = self._clock()
        message = UserMessage(secrets.token_hex(8), account.name, title, text, sent=now)
        try:
            self._store.put_user_message(message, now - KEPT)
        except errors.RdmsError as error:  # it was shown all the same
            _log.warning("a message is not kept", account=account.name, error=str(error))

    def list(self, account: str) -> Sequence[UserMessage]:
        """Those of the last days, newest first."""
        return self._store.list_user_messages(account, self._clock() - KEPT)

    def mark_read(self, account: str, message_id: str) -> None:
        """He has read it; once more is fine. NotFound."""
        if not self._store.mark_user_message(account, message_id, self._clock()):
            raise errors.NotFound(f"there is no message {message_id!r}")
