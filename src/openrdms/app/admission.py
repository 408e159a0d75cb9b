"""Who may come in: accounts, directories and second factors, put together from the options."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from openrdms import config
from openrdms.app.core import Core, now
from openrdms.frontends import http
from openrdms.model.errors import InvalidParameter
from openrdms.model.sign_in_options import LdapOptions, OidcOptions, SignInOptions, parse_options
from openrdms.security.api_tokens import ApiTokens
from openrdms.security.credentials import Credentials
from openrdms.security.directory_accounts import (
    TRUST,
    Adopting,
    DirectoryAccounts,
)
from openrdms.security.guard import PolicyGuard
from openrdms.security.lockout import Lockouts
from openrdms.security.negotiate import Negotiator
from openrdms.security.sign_in import Provider, SignIn


@dataclass(frozen=True)
class Admission:
    """What all front ends of a service ask."""

    guard: PolicyGuard
    sign_in: SignIn
    authentication: http.Authentication
    api_tokens: ApiTokens
    directory: DirectoryAccounts | None


def make_admission(core: Core, settings: config.ServeConfig) -> Admission:
    """InvalidParameter for options that cannot be right."""
    options = _read_options(settings.sign_in)
    lockouts, tokens = Lockouts(), ApiTokens(core.store, core.accounts, now)
    core.second_factors.require(options.second_factor)
    directory = _make_directory(core, options.ldap) if options.ldap else None
    credentials = Credentials(core.accounts, tokens, core.second_factors, directory)
    record_refusal = core.audit_log.record_refusal
    provider = _make_provider(core, options.oidc) if options.oidc else None
    return Admission(
        PolicyGuard(core.audit_log),
        SignIn(credentials, core.second_factors, lockouts, record_refusal, now, provider),
        http.Authentication(
            core.accounts,
            credentials,
            lockouts,
            Negotiator(core.accounts, settings.keytab, settings.channel_binding),
            record_refusal,
            allow_unencrypted=settings.allow_unencrypted,
        ),
        tokens,
        directory,
    )


def _read_options(file: Path | None) -> SignInOptions:
    if file is None:
        return SignInOptions()
    try:
        return parse_options(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidParameter("sign-in", f"cannot read {file}: {error}") from error


def _make_directory(core: Core, options: LdapOptions) -> DirectoryAccounts:
    from openrdms.adapters.ldap.directory import LdapDirectory  # only who has one needs libldap

    adopting = Adopting(core.accounts, core.audit_log, options.source, options.roles, TRUST)
    return DirectoryAccounts(adopting, LdapDirectory(options))


def _make_provider(core: Core, options: OidcOptions) -> Provider:
    from openrdms.adapters.oidc.provider import OidcProvider

    adopting = Adopting(core.accounts, core.audit_log, options.source, options.roles, options.trust)
    return Provider(OidcProvider(options), adopting)
