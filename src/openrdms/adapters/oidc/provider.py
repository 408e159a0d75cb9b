"""An OpenID provider by Authlib: code flow with PKCE, state and nonce (OpenID Connect Core 3.1).

What the provider is like it says itself (Discovery 4); that and its keys are asked for when they
are needed and kept for an hour, keys also again when a token is signed with one that is new.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from openrdms.model.directory import DirectoryGroup, DirectoryUser, Flow
from openrdms.model.errors import AccessDenied, DirectoryUnavailable, InvalidParameter
from openrdms.model.sign_in_options import OidcOptions

SECONDS = 10.0
"""How long one answer of the provider may take."""
KEPT_SECONDS = 3600.0
LEEWAY = 60
"""Seconds that its clock may be off."""

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Signatures alone: with a secret of ours, and with none, anybody could make a token."""

_DISCOVERY = "/.well-known/openid-configuration"


class OidcProvider:
    """Safe from any thread. See ports.IdentityProvider."""

    def __init__(self, options: OidcOptions) -> None:
        """InvalidParameter for a file that cannot be read."""
        self._options = options
        self._secret = _read_secret(options)
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    @property
    def source(self) -> str:
        return self._options.source

    @property
    def title(self) -> str:
        return self._options.title

    def begin(self, redirect_uri: str) -> Flow:
        """See ports.IdentityProvider."""
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        with self._open(redirect_uri) as session:
            url, _ = session.create_authorization_url(
                self._describe()["authorization_endpoint"],
                state=state,
                nonce=nonce,
                code_verifier=verifier,
            )
        return Flow(url, state, nonce, verifier, redirect_uri)

    def finish(self, flow: Flow, answer: Mapping[str, str]) -> DirectoryUser:
        """See ports.IdentityProvider."""
        if not hmac.compare_digest(answer.get("state", "").encode(), flow.state.encode()):
            raise AccessDenied("state: of another sign-in")
        if answer.get("iss", self._options.issuer) != self._options.issuer:
            raise AccessDenied("iss: the answer of another provider")  # RFC 9207
        if "code" not in answer:
            raise AccessDenied("the provider has not signed you in")
        try:
            with self._open(flow.redirect_uri) as session:
                return self._identify(session, flow, answer["code"])
        except requests.RequestException as error:
            raise self._away(error) from error
        except (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError) as error:
            raise AccessDenied(
                f"the provider's answer is refused: {type(error).__name__}"
            ) from error

    def _identify(self, session: OAuth2Session, flow: Flow, code: str) -> DirectoryUser:
        token = session.fetch_token(
            self._describe()["token_endpoint"],
            code=code,
            code_verifier=flow.verifier,
            timeout=SECONDS,
        )
        claims = self._verify(token["id_token"], token["access_token"], flow.nonce)
        wanted = {self._options.name_claim, self._options.groups_claim}
        if not wanted <= claims.keys() and "userinfo_endpoint" in self._describe():
            reply = session.get(self._describe()["userinfo_endpoint"], timeout=SECONDS)
            reply.raise_for_status()
            more = reply.json()
            if more["sub"] != claims["sub"]:  # OpenID Connect Core 5.3.2
                raise AccessDenied("userinfo: of somebody else")
            claims = {**more, **claims}
        return self._make_user(claims)

    def _verify(self, id_token: str, access_token: str, nonce: str) -> dict[str, Any]:
        """Its claims, when all is as OpenID Connect Core 3.1.3.7 wants it."""
        try:
            token = jwt.decode(id_token, self._find_keys(), algorithms=ALGORITHMS)
        except (JoseError, ValueError):  # the key may be a new one
            with self._lock:
                self._kept.pop(self._describe_unlocked()["jwks_uri"], None)
            token = jwt.decode(id_token, self._find_keys(), algorithms=ALGORITHMS)
        claims = CodeIDToken(
            token.claims,
            token.header,
            options={
                "iss": {"essential": True, "value": self._options.issuer},
                "aud": {"essential": True, "value": self._options.client_id},
            },
            params={
                "nonce": nonce,
                "client_id": self._options.client_id,
                "access_token": access_token,
            },
        )
        claims.validate(leeway=LEEWAY)
        return dict(claims)

    def _make_user(self, claims: Mapping[str, Any]) -> DirectoryUser:
        name = claims.get(self._options.name_claim)
        if not isinstance(name, str) or not name:
            raise AccessDenied(f"the provider says no {self._options.name_claim}")
        said = claims.get(self._options.groups_claim, [])
        groups = [said] if isinstance(said, str) else said
        kept = self._options.groups.union(*self._options.roles.values())
        return DirectoryUser(
            name,
            f"{self._options.issuer} {claims['sub']}",
            groups=tuple(
                DirectoryGroup(key=group, name=group, external_id=group)
                for group in dict.fromkeys(groups)
                if isinstance(group, str) and group.casefold() in kept
            ),
        )

    def _open(self, redirect_uri: str) -> OAuth2Session:
        session = OAuth2Session(
            self._options.client_id,
            self._secret or None,
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            scope=" ".join(self._options.scopes),
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )
        session.max_redirects = 0
        if self._options.ca_file:
            session.verify = str(self._options.ca_file)
        return session

    def _describe(self) -> dict[str, Any]:
        with self._lock:
            return self._describe_unlocked()

    def _describe_unlocked(self) -> dict[str, Any]:
        found = self._fetch(self._options.issuer.rstrip("/") + _DISCOVERY)
        if found.get("issuer") != self._options.issuer:
            raise DirectoryUnavailable(f"{self.source}: says that it is another issuer")
        return found

    def _find_keys(self) -> KeySet:
        with self._lock:
            return KeySet.import_key_set(self._fetch(self._describe_unlocked()["jwks_uri"]))  # type: ignore[arg-type]

    def _fetch(self, url: str) -> dict[str, Any]:
        """A document, kept for a while. DirectoryUnavailable."""
        kept = self._kept.get(url)
        if kept and time.monotonic() - kept[0] < KEPT_SECONDS:
            return kept[1]
        verify = str(self._options.ca_file) if self._options.ca_file else True
        try:
            reply = requests.get(url, timeout=SECONDS, verify=verify, allow_redirects=False)
            reply.raise_for_status()
            found = reply.json()
        except (requests.RequestException, ValueError) as error:
            raise self._away(error) from error
        if not isinstance(found, dict):
            raise DirectoryUnavailable(f"{self.source}: {url} is no object")
        self._kept[url] = time.monotonic(), found
        return found

    def _away(self, error: Exception) -> DirectoryUnavailable:
        return DirectoryUnavailable(f"{self.source} does not answer: {type(error).__name__}")


def _read_secret(options: OidcOptions) -> str:
    if options.client_secret_file is None:
        return ""
    try:
        return options.client_secret_file.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter("oidc.client_secret_file", f"cannot be read: {error}") from error
