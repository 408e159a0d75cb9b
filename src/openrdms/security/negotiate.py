"""Negotiate, NTLM and Kerberos: the acceptors of a connection, and what they insist on.

pyspnego does the protocols. Beyond it we refuse NTLMv1, decide per policy what a missing channel
binding means, and let only those mechanisms be chosen that are set up.
"""

from __future__ import annotations

import hmac
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import spnego
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from spnego._context import GSSMech
from spnego._credential import CredentialCache
from spnego._gss import GSSAPIProxy
from spnego._negotiate import NegotiateProxy
from spnego._ntlm import NTLMProxy, _NTLMCredential
from spnego._ntlm_raw.crypto import hmac_md5, md5, ntowfv2, rc4k
from spnego._ntlm_raw.messages import (
    Authenticate,
    AvFlags,
    AvId,
    NegotiateFlags,
    NTClientChallengeV2,
)
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import BadBindingsError, BadMechanismError, InvalidTokenError, SpnegoError

from openrdms.config import ChannelBinding
from openrdms.model.account import is_ntlm_name

NEGOTIATE, KERBEROS, NTLM = "Negotiate", "Kerberos", "NTLM"
"""The schemes, as WWW-Authenticate spells them."""

_NTLM_V1_OCTETS = 24
_UNBOUND = bytes(16)
_CHANNEL_BOUND = 0x800
"""GSS_C_CHANNEL_BOUND_FLAG: the client has bound itself to our channel (MIT krb5 1.19)."""
_SEALING = spnego.ContextReq.integrity | spnego.ContextReq.confidentiality


class HandshakeFailed(Exception):
    """``name`` is who the client claimed to be, where that is known."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason


class NtHashes(Protocol):
    """Where the NT hashes are that NTLM needs."""

    @property
    def nt_hash_file(self) -> Path:
        """In the form of smbpasswd."""

    def has_nt_hashes(self) -> bool:
        """True when NTLM can succeed for anybody."""


class Negotiator:
    """Makes handshakes. pyspnego and libkrb5 read their files from the process's environment."""

    def __init__(
        self, hashes: NtHashes, keytab: Path | None, channel_binding: ChannelBinding
    ) -> None:
        """Kerberos is offered with a ``keytab`` only."""
        self._hashes = hashes
        self._keytab = keytab
        self._channel_binding = channel_binding
        os.environ["NTLM_USER_FILE"] = str(hashes.nt_hash_file)
        os.environ["LM_COMPAT_LEVEL"] = "5"  # NTLMv2 alone, whatever we were started with
        if keytab:
            os.environ["KRB5_KTNAME"] = str(keytab)

    def schemes(self) -> tuple[str, ...]:
        """What can be offered now."""
        ntlm = self._hashes.has_nt_hashes()
        found = [NEGOTIATE] if ntlm or self._keytab else []
        found += [KERBEROS] if self._keytab else []
        return (*found, NTLM) if ntlm else tuple(found)

    def begin(self, scheme: str, end_point: bytes) -> Handshake:
        """``end_point`` is what TLS clients may bind to (``tls_server_end_point``), or empty."""
        bindings = None
        if end_point and self._channel_binding is not ChannelBinding.NONE:
            bindings = GssChannelBindings(application_data=end_point)
        strict = self._channel_binding is ChannelBinding.STRICT
        makers: dict[GSSMech, Callable[[], Mechanism]] = {}
        if self._keytab:
            makers[GSSMech.kerberos] = lambda: _Kerberos(bindings, strict=strict)
        if self._hashes.has_nt_hashes():
            makers[GSSMech.ntlm] = lambda: _Ntlm(bindings, strict=strict)
        return Handshake(scheme, makers)


class Handshake:
    """One client's way from its first token to a principal. One thread at a time."""

    def __init__(self, scheme: str, makers: dict[GSSMech, Callable[[], Mechanism]]) -> None:
        self.scheme = scheme
        self._context: spnego.ContextProxy | None = None
        self._makers = makers
        self._made: list[Mechanism] = []

    @property
    def complete(self) -> bool:
        """True when the client is who it says."""
        return self._context is not None and self._context.complete

    @property
    def is_kerberos(self) -> bool:
        """Whether ``principal`` is name@REALM; else it is a name that NTLM knows."""
        return self._context is not None and self._context.negotiated_protocol == "kerberos"

    @property
    def principal(self) -> str:
        """Who the client is, without the domain that NTLM clients put before it."""
        name = (self._context.client_principal if self._context and self.complete else "") or ""
        return name if self.is_kerberos else name.rpartition("\\")[2]

    def step(self, token: bytes) -> bytes:
        """The answer to a token, empty when there is none. HandshakeFailed: all is over."""
        try:
            if self._context is None:
                self._context = self._make_context()
            answer = self._context.step(token) or b""
            if self._context.complete:
                for mechanism in self._made:
                    mechanism.check_complete()
        # Beyond its own errors, pyspnego lets through what broken tokens do to its parsers.
        except (SpnegoError, ValueError, LookupError, TypeError, struct.error) as error:
            raise HandshakeFailed(self._claimed(), str(error)) from error
        except (StopIteration, AttributeError, OverflowError) as error:
            raise HandshakeFailed(self._claimed(), f"a broken token: {error!r}") from error
        return answer

    def unwrap(self, signature: bytes, data: bytes) -> bytes:
        """Decrypt a message and verify it; HandshakeFailed ends the connection's order."""
        context = self._sealing()
        try:
            return context.unwrap_winrm(signature, data)
        except (SpnegoError, ValueError) as error:
            raise HandshakeFailed(self.principal, str(error)) from error

    def wrap(self, data: bytes) -> tuple[bytes, bytes, int]:
        """Signature, ciphertext, octets of padding."""
        sealed = self._sealing().wrap_winrm(data)
        return sealed.header, sealed.data, sealed.padding_length

    def _sealing(self) -> spnego.ContextProxy:
        """Without these flags NTLM's signature is a constant."""
        if self._context is None or self._context.context_attr & _SEALING != _SEALING:
            raise HandshakeFailed(self.principal, "encryption was not negotiated")
        return self._context

    def _make_context(self) -> spnego.ContextProxy:
        if self.scheme == NEGOTIATE:
            return _Spnego(self._make)
        made = self._make(GSSMech.kerberos if self.scheme == KERBEROS else GSSMech.ntlm)
        if made is None:
            raise BadMechanismError(context_msg=f"{self.scheme} is not set up")
        return made

    def _make(self, mech: GSSMech) -> Mechanism | None:
        maker = self._makers.get(mech)
        if maker is None:
            return None
        self._made.append(maker())
        return self._made[-1]

    def _claimed(self) -> str:
        return next((made.claimed for made in self._made if made.claimed), "")


class Mechanism(spnego.ContextProxy):
    """NTLM or Kerberos, with our policy."""

    claimed: str = ""

    def check_complete(self) -> None:
        """SpnegoError when it came to an end that policy does not take."""


class _Ntlm(NTLMProxy, Mechanism):
    """NTLMv2 alone, its proof checked here and not by pyspnego, which would also take LM and
    NTLMv1, a binding of zeros for any, and a domain only as it stands in the file.
    """

    def __init__(self, bindings: GssChannelBindings | None, *, strict: bool) -> None:
        super().__init__(usage="accept")
        self._bindings = bindings
        self._strict = strict

    def _step_accept_authenticate(
        self, token: bytes, channel_bindings: GssChannelBindings | None
    ) -> None:
        """The last message (MS-NLMP 3.2.5.1.2 and 3.3.2)."""
        negotiate, challenge = self._temp_negotiate, self._temp_challenge
        if not (negotiate and challenge):
            raise InvalidTokenError(context_msg="nothing came before the last message")
        sent = Authenticate.unpack(token)
        self.claimed = sent.user_name or ""
        response = sent.nt_challenge_response or b""
        if not is_ntlm_name(self.claimed) or len(response) <= _NTLM_V1_OCTETS:
            raise InvalidTokenError(context_msg="only NTLMv2 with a name is accepted")
        pairs = NTClientChallengeV2.unpack(response[16:]).av_pairs
        self._check_binding(pairs.get(AvId.channel_bindings, _UNBOUND))
        # The domain is whatever the client takes us for; our accounts have none.
        self._credential = _NTLMCredential(CredentialCache(username=self.claimed))
        key = ntowfv2(self.claimed, self._credential.nt_hash, sent.domain_name)
        proof = hmac_md5(key, challenge.server_challenge + response[16:])
        if not hmac.compare_digest(proof, response[:16]):
            raise InvalidTokenError(context_msg="wrong password")
        self._session_key = _session_key(sent, hmac_md5(key, proof))
        if pairs.get(AvId.flags, 0) & AvFlags.mic:
            self._check_mic(negotiate.pack() + challenge.pack(), sent)
        self._context_attr = sent.flags
        self._complete = True

    def _check_binding(self, sent: bytes) -> None:
        if self._bindings is None or (sent == _UNBOUND and not self._strict):
            return
        if not hmac.compare_digest(sent, md5(self._bindings.pack())):
            raise BadBindingsError(context_msg="not bound to this TLS connection")

    def _check_mic(self, before: bytes, sent: Authenticate) -> None:
        mic, sent.mic = sent.mic or b"", bytes(16)
        if not hmac.compare_digest(hmac_md5(self.session_key, before + sent.pack()), mic):
            raise InvalidTokenError(context_msg="the messages were changed on their way")


def _session_key(sent: Authenticate, key: bytes) -> bytes:
    protected = NegotiateFlags.sign | NegotiateFlags.seal
    if sent.flags & NegotiateFlags.key_exch and sent.flags & protected:
        return rc4k(key, sent.encrypted_random_session_key or b"")
    return key


class _Kerberos(GSSAPIProxy, Mechanism):
    def __init__(self, bindings: GssChannelBindings | None, *, strict: bool) -> None:
        super().__init__(usage="accept", channel_bindings=bindings)
        self._required = bool(bindings and strict)

    def check_complete(self) -> None:
        if self.complete and self._required and not self._context_attr & _CHANNEL_BOUND:
            raise BadBindingsError(context_msg="the client is not bound to the TLS connection")


class _Spnego(NegotiateProxy):
    """SPNEGO over our mechanisms, and over no other that pyspnego would find by itself."""

    def __init__(self, make: Callable[[GSSMech], Mechanism | None]) -> None:
        super().__init__(usage="accept")
        self._make = make

    def _rebuild_context_list(
        self,
        mech_types: list[str] | None = None,
        channel_bindings: GssChannelBindings | None = None,
    ) -> list[str]:
        found: dict[GSSMech, spnego.ContextProxy] = {}
        for mech in (GSSMech.kerberos, GSSMech.ntlm):
            if any(self._is_same_mech(mech, oid) for oid in mech_types or ()):
                made = self._make(mech)
                if made is not None:
                    found[mech] = made
        if not found:
            raise BadMechanismError(context_msg="no mechanism in common")
        self._available_contexts = found
        return super()._rebuild_context_list(mech_types, channel_bindings)

    def _step_spnego_input(
        self,
        in_token: bytes | None = None,
        channel_bindings: GssChannelBindings | None = None,
    ) -> tuple[bytes | None, bytes | None, bool]:
        first = not self._context_list
        token, mic, is_spnego = super()._step_spnego_input(in_token, channel_bindings)
        if first and is_spnego and not self._is_same_mech(self._chosen_mech, self._mech_list[0]):
            token = None  # it was meant for the client's favourite, which we do not have
        return token, mic, is_spnego


def tls_server_end_point(certificate: Path) -> bytes:
    """What clients of a certificate (PEM) bind to (RFC 5929 section 4)."""
    parsed = x509.load_pem_x509_certificate(certificate.read_bytes())
    algorithm = parsed.signature_hash_algorithm
    if algorithm is None or isinstance(algorithm, (hashes.MD5, hashes.SHA1)):
        algorithm = hashes.SHA256()
    digest = hashes.Hash(algorithm)
    digest.update(parsed.public_bytes(serialization.Encoding.DER))
    return b"tls-server-end-point:" + digest.finalize()
