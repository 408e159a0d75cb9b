"""Records of what the web front end hands out."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from openrdms.model.display_ticket import DisplayTicket
from openrdms.model.rdp_token import RdpToken
from openrdms.model.second_factor import SecondFactor
from openrdms.model.user_message import UserMessage
from openrdms.model.web_session import ApiToken, WebSession


class WebSessionStore(Protocol):
    """Sessions of browsers; those of an account go with it."""

    def put_web_session(self, session: WebSession) -> None: ...
    def find_web_session(self, secret_hash: str) -> WebSession | None: ...
    def touch_web_session(self, secret_hash: str, used: datetime) -> None:
        """Note when it was used last; nothing for one that is gone."""

    def prove_web_session(self, secret_hash: str, proved: datetime) -> None:
        """Note when its user has proved last who he is; nothing for one that is gone."""

    def delete_web_session(self, secret_hash: str) -> None: ...
    def delete_web_sessions(
        self, *, account: str | None = None, used_before: datetime | None = None
    ) -> None:
        """All that meet every condition given."""


class ApiTokenStore(Protocol):
    """Tokens of programs; those of an account go with it."""

    def put_api_token(self, token: ApiToken) -> None: ...
    def find_api_token(self, secret_hash: str) -> ApiToken | None: ...
    def list_api_tokens(self, account: str | None = None) -> list[ApiToken]:
        """In order of their creation."""

    def delete_api_token(self, token_id: str) -> bool:
        """False when there is none."""


class RdpTokenStore(Protocol):
    """Routing tokens of RDP files; those of an account go with it."""

    def put_rdp_token(self, token: RdpToken, most: int) -> None:
        """Keep it; expired ones go, and the oldest of the account beyond ``most``."""

    def find_rdp_token(self, secret_hash: str) -> RdpToken | None: ...
    def delete_rdp_tokens(self, account: str) -> None:
        """All of an account."""


class DisplayTicketStore(Protocol):
    """Tickets to displays of desktops; those of an account go with it."""

    def put_display_ticket(self, ticket: DisplayTicket) -> None: ...
    def take_display_ticket(self, secret_hash: str) -> DisplayTicket | None:
        """Remove it and return it: of several who want it one gets it."""

    def delete_display_tickets(self, expired_by: datetime) -> None:
        """Those of no more use at that time."""


class UserMessageStore(Protocol):
    """Messages that users were sent; those of an account go with it."""

    def put_user_message(self, message: UserMessage, kept_since: datetime) -> None:
        """Keep it; everybody's that are older go."""

    def list_user_messages(self, account: str, kept_since: datetime) -> list[UserMessage]:
        """Those of an account, newest first."""

    def mark_user_message(self, account: str, message_id: str, read: datetime) -> bool:
        """Note when it was read first; False when the account has no such message."""


class SecondFactorStore(Protocol):
    """Second factors; that of an account goes with it."""

    def add_second_factor(self, factor: SecondFactor) -> bool:
        """False, and nothing done, when the account has one."""

    def find_second_factor(self, account: str) -> SecondFactor | None: ...
    def list_second_factors(self) -> list[SecondFactor]:
        """All, in no order."""

    def use_time_step(self, account: str, step: int) -> bool:
        """Note that a code of that step was taken: of several who bring it one gets True.

        Other services are told.
        """

    def use_recovery_code(self, account: str, code_hash: str) -> bool:
        """Remove it: of several who bring it one gets True."""

    def delete_second_factor(self, account: str) -> None: ...
