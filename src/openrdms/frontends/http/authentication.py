"""Who a connection's requests come from: Basic, and the handshakes of Negotiate.

What authentication has come to is held by one Session per connection and dies with it. Nobody is
anybody until a step here has said so; an unfinished handshake, a failed one and none at all end
in the same 401, and no protocol server sees the request.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from openrdms.cim.provider import Caller
from openrdms.frontends.exchange import HttpReply, HttpRequest, ProtocolServer
from openrdms.frontends.http import message_encryption
from openrdms.frontends.proxy_protocol import Peer
from openrdms.model.account import Account
from openrdms.model.errors import RdmsError, RecordsUnavailable
from openrdms.security.accounts import Accounts
from openrdms.security.api_tokens import PREFIX
from openrdms.security.credentials import ADMINISTRATION, Credentials
from openrdms.security.lockout import Lockouts
from openrdms.security.negotiate import Handshake, HandshakeFailed, Negotiator

BASIC = "Basic"
MAX_ROUNDS = 8
"""Tokens of one handshake. NTLM needs 2, SPNEGO seldom more than 3."""

FAILURE_SECONDS = 0.5
"""How long the answer to a failure is held back."""
RECORDS_BACK = "5"
"""Seconds after which to come again when the records are away."""

MAX_ANONYMOUS = 8_192
"""Octets of a body from somebody without a name."""

_log = logging.getLogger(__name__)

RecordRefusal = Callable[[str, str, str, str], None]
"""Told name, address, scheme and reason of an authentication that failed."""


@dataclass(frozen=True)
class Authentication:
    """What all connections share. Without TLS, passwords and plain SOAP are taken from loopback
    only, and there only with ``allow_unencrypted``.
    """

    accounts: Accounts
    credentials: Credentials
    lockouts: Lockouts
    negotiator: Negotiator
    record_refusal: RecordRefusal
    allow_unencrypted: bool


class Answer(NamedTuple):
    """A reply, the seconds it is held back, and whether the connection ends with it."""

    reply: HttpReply
    delay: float = 0.0
    close: bool = False


class _Denied(Exception):
    """Ends a request without a caller."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.reply.status)
        self.answer = answer


class _Identity(NamedTuple):
    """Somebody known; ``context`` is what their handshake left for encryption."""

    account: Account
    context: Handshake | None


class Session:
    """Authentication of one connection. One thread at a time."""

    def __init__(
        self, shared: Authentication, server: ProtocolServer, peer: Peer, end_point: bytes | None
    ) -> None:
        """``end_point`` is what clients bind to over TLS; None without TLS."""
        self._shared = shared
        self._server = server
        self._address = peer.address
        self._end_point = end_point
        self._is_private = end_point is not None or (
            shared.allow_unencrypted and not peer.is_proxied and _is_loopback(peer.address)
        )
        self._handshake: Handshake | None = None
        self._rounds = 0
        self._identity: _Identity | None = None
        self._basic: tuple[str, Account] | None = None
        """The header of Basic that was right last, and whose it was."""

    def answer(self, request: HttpRequest) -> Answer:
        """Answer one request, through the protocol server when it comes from somebody."""
        authorization = request.headers.get("authorization")
        try:
            if authorization is None:
                return self._answer_without_header(request)
            identity, token = self._authenticate(authorization)
            if identity.context and not request.body:
                answer = Answer(_empty(200))  # clients shake hands first, then say what they want
            else:
                answer = self._answer_known(identity, request)
            return _with_token(answer, token) if token else answer
        except _Denied as denied:
            return denied.answer

    def _answer_without_header(self, request: HttpRequest) -> Answer:
        handshake, self._handshake = self._handshake, None
        identity, self._identity = self._identity, None
        if identity is None:
            anonymous = None if handshake else self._answer_nobody(request)
            if anonymous is None:
                raise self._denied()
            return Answer(anonymous)
        account = self._find_again(identity.account)
        if account is None:
            raise self._denied()
        self._identity = _Identity(account, identity.context)
        return self._answer_known(self._identity, request)

    def _answer_nobody(self, request: HttpRequest) -> HttpReply | None:
        if "wsmanidentify" not in request.headers:
            return None
        if len(request.body) > MAX_ANONYMOUS:
            return _empty(413)
        return self._server.handle_anonymous(request)

    def _find_again(self, known: Account) -> Account | None:
        """The account as it is today; None when its owner has to say again who they are."""
        account = self._shared.accounts.find(known.name)
        if account is known:
            return account
        is_same = account and (account.proof, account.ntlm) == (known.proof, known.ntlm)
        return account if is_same else None

    def _authenticate(self, authorization: str) -> tuple[_Identity, str | None]:
        """Somebody, and a last token for them. A header replaces all that was before it."""
        handshake, self._handshake, self._identity = self._handshake, None, None
        scheme, _, credentials = authorization.partition(" ")
        if scheme.lower() == "basic":
            return _Identity(self._check_basic(authorization, credentials), None), None
        offered = {name.lower(): name for name in self._shared.negotiator.schemes()}
        name = offered.get(scheme.lower())
        if name is None:
            raise self._denied()
        return self._shake_hands(name, credentials, handshake)

    def _check_basic(self, authorization: str, credentials: str) -> Account:
        if not self._is_private:
            raise self._denied()
        known, self._basic = self._basic, None
        account = self._find_again(known[1]) if known and known[0] == authorization else None
        if account is None or not self._shared.credentials.is_enough(account):
            name, password = self._read_basic(credentials)
            account = self._prove(name, password)
            if password.startswith(PREFIX):  # may be removed at any time, and is found quickly
                return account
        self._basic = (authorization, account)
        return account

    def _prove(self, name: str, password: str) -> Account:
        shared, account = self._shared, None
        if shared.lockouts.lets_recall(name, self._address):
            account = shared.credentials.recall_alone(name, password, self._address)
        if account:  # who was right from there lately is not locked out by others' guesses
            return account
        self._refuse_locked(name, BASIC)
        try:
            account = shared.credentials.check_alone(name, password, self._address, ADMINISTRATION)
        except RecordsUnavailable as error:  # to be asked again, and not for another password
            raise _Denied(Answer(_empty(503, ("retry-after", RECORDS_BACK)))) from error
        except RdmsError as error:  # a directory is away, or refuses: no guess was made
            self._record_refusal(name, BASIC, str(error))
            raise self._denied() from error
        if account is None:
            raise self._failed(name, BASIC, "wrong name or password, or a token is needed")
        shared.lockouts.succeeded(name, self._address)
        return account

    def _read_basic(self, credentials: str) -> tuple[str, str]:
        octets = self._decode(credentials)
        try:
            text = octets.decode()
        except UnicodeDecodeError:  # RFC 7617 wants UTF-8; many clients send Latin-1
            text = octets.decode("latin-1")
        name, colon, password = text.partition(":")
        if not colon:
            raise self._denied()
        return name, password

    def _shake_hands(
        self, scheme: str, credentials: str, handshake: Handshake | None
    ) -> tuple[_Identity, str | None]:
        token = self._decode(credentials)
        if handshake is None or handshake.scheme != scheme:
            handshake = self._shared.negotiator.begin(scheme, self._end_point or b"")
            self._rounds = 0
        self._rounds += 1
        try:
            answer = handshake.step(token)
        except HandshakeFailed as failed:
            self._refuse_locked(failed.name, scheme)  # in the words for who is right
            raise self._failed(failed.name, scheme, failed.reason) from failed
        challenge = f"{scheme} {base64.b64encode(answer).decode()}" if answer else None
        if not handshake.complete:
            if self._rounds >= MAX_ROUNDS or challenge is None:
                raise self._denied()
            self._handshake = handshake
            raise _Denied(Answer(_empty(401, ("www-authenticate", challenge))))
        self._identity = _Identity(self._find_principal(scheme, handshake), handshake)
        return self._identity, challenge

    def _find_principal(self, scheme: str, handshake: Handshake) -> Account:
        name = handshake.principal
        self._refuse_locked(name, scheme)
        account = self._shared.accounts.find(name)
        if account and account.source:  # who names it there must not thereby be a principal
            account = None
        # Two principals of Kerberos may differ in case alone.
        allowed = account and (account.name == name if handshake.is_kerberos else account.ntlm)
        if account is None or not allowed:
            raise self._failed(name, scheme, "no such account")
        if not handshake.is_kerberos and not self._shared.credentials.is_enough(account):
            raise self._failed(name, scheme, "a password is not enough for the account")
        self._shared.lockouts.succeeded(name, self._address)
        return account

    def _answer_known(self, identity: _Identity, request: HttpRequest) -> Answer:
        caller = _make_caller(identity.account, self._address)
        if message_encryption.is_encrypted(request.headers.get("content-type", "")):
            return Answer(self._answer_encrypted(caller, identity.context, request))
        if identity.context and not self._is_private:
            raise _Denied(Answer(_empty(403)))
        return Answer(self._server.handle(caller, request))

    def _answer_encrypted(
        self, caller: Caller, sealed: Handshake | None, request: HttpRequest
    ) -> HttpReply:
        if sealed is None:
            raise _Denied(Answer(_empty(415), close=True))
        try:
            original = message_encryption.decrypt(
                request.headers["content-type"], request.body, sealed
            )
            inner = {**request.headers, "content-type": original.content_type}
            reply = self._server.handle(caller, request._replace(headers=inner, body=original.body))
            kind, body = message_encryption.encrypt(
                original.protocol, reply.content_type, reply.body, sealed
            )
        except (message_encryption.Malformed, HandshakeFailed) as error:
            self._identity = None
            _log.warning("a message from %s cannot be decrypted: %r", self._address, error)
            raise _Denied(Answer(_empty(400), close=True)) from error
        return reply._replace(content_type=kind, body=body)

    def _decode(self, credentials: str) -> bytes:
        try:
            return base64.b64decode(credentials.strip(), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self._denied() from error

    def _failed(self, name: str, scheme: str, reason: str) -> _Denied:
        self._shared.lockouts.failed(name, self._address)
        self._record_refusal(name, scheme, reason)
        return self._denied(delay=FAILURE_SECONDS)

    def _record_refusal(self, name: str, scheme: str, reason: str) -> None:
        _log.warning("authentication by %s failed from %s: %s", scheme, self._address, reason)
        try:
            self._shared.record_refusal(name, self._address, scheme, reason)
        except RdmsError:  # refused it is all the same
            _log.exception("a refusal could not be recorded")

    def _refuse_locked(self, name: str, scheme: str) -> None:
        seconds = self._shared.lockouts.seconds_locked(name, self._address)
        if seconds:
            if self._shared.lockouts.refused(name, self._address) == 1:  # thousands may follow
                _log.warning("%s is locked for %s for %d s", scheme, self._address, seconds)
            # Not 429: stock clients know what to tell their users about a 401.
            raise self._denied(("retry-after", str(int(seconds) + 1)))

    def _denied(self, *headers: tuple[str, str], delay: float = 0.0) -> _Denied:
        challenges = [*self._shared.negotiator.schemes()]
        if self._is_private:
            challenges.append(f'{BASIC} realm="{self._server.realm}"')
        offered = [("www-authenticate", challenge) for challenge in challenges]
        return _Denied(Answer(_empty(401, *offered, *headers), delay))


def _make_caller(account: Account, address: str) -> Caller:
    """The one place where somebody becomes a caller."""
    return Caller(account.name, address, account.role)


def _with_token(answer: Answer, token: str) -> Answer:
    headers = (*answer.reply.headers, ("www-authenticate", token))
    return answer._replace(reply=answer.reply._replace(headers=headers))


def _empty(status: int, *headers: tuple[str, str]) -> HttpReply:
    return HttpReply(status, "", b"", headers)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
