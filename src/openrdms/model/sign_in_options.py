"""How people sign in besides with accounts of ours: what `--sign-in FILE.toml` says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from openrdms.model.account import Role
from openrdms.model.errors import InvalidParameter
from openrdms.model.web_session import LONGEST

Roles = Mapping[Role, frozenset[str]]
"""Groups, case-folded, whose members have a role."""

_LONGEST_HOURS = LONGEST // timedelta(hours=1)
"""A provider is asked at sign-in alone: its accounts hold no longer than a session may."""

_SOURCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,30}")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class LdapOptions:
    """An LDAP directory. Groups are those below ``group_base`` that ``group_filter`` finds."""

    source: str
    url: str
    start_tls: bool
    ca_file: Path | None
    bind_dn: str
    bind_password_file: Path | None
    user_base: str
    user_filter: str
    name_attribute: str
    group_base: str
    group_filter: str
    roles: Roles


@dataclass(frozen=True)
class OidcOptions:
    """An OpenID provider. Of a claim's groups those are kept that ``groups`` or a role names. Its
    accounts hold for ``trust`` after a sign-in.
    """

    source: str
    title: str
    issuer: str
    ca_file: Path | None
    client_id: str
    client_secret_file: Path | None
    scopes: tuple[str, ...]
    name_claim: str
    groups_claim: str
    groups: frozenset[str]
    roles: Roles
    trust: timedelta


@dataclass(frozen=True)
class SignInOptions:
    """``second_factor`` are the roles that must have one."""

    ldap: LdapOptions | None = None
    oidc: OidcOptions | None = None
    second_factor: frozenset[Role] = frozenset()


def parse_options(document: Mapping[str, Any]) -> SignInOptions:
    """InvalidParameter, whose field is a key's path, also for keys that mean nothing here."""
    table = _Table("", document)
    ldap, oidc = table.take_table("ldap"), table.take_table("oidc")
    roles = frozenset(
        _parse_role("second_factor", name) for name in table.take_texts("second_factor")
    )
    table.refuse_rest()
    parsed = SignInOptions(
        _parse_ldap(ldap) if ldap else None, _parse_oidc(oidc) if oidc else None, roles
    )
    if parsed.ldap and parsed.oidc and parsed.ldap.source == parsed.oidc.source:
        raise InvalidParameter("oidc.source", "is that of ldap too")
    return parsed


class _Table:
    """Values of one table, taken one after the other."""

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        self._path = path
        self._left = dict(values)

    def field(self, key: str) -> str:
        return f"{self._path}{key}"

    def take_text(self, key: str, default: str | None = None) -> str:
        value = self._left.pop(key, default)
        if not isinstance(value, str) or (default is None and not value.strip()):
            raise InvalidParameter(self.field(key), "must be a text")
        return value

    def take_flag(self, key: str) -> bool:
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            raise InvalidParameter(self.field(key), "must be true or false")
        return value

    def take_number(self, key: str, allowed: range) -> int:
        """The last that is allowed where none is given."""
        value = self._left.pop(key, allowed[-1])
        if type(value) is not int or value not in allowed:
            raise InvalidParameter(self.field(key), f"must be {allowed[0]} to {allowed[-1]}")
        return value

    def take_texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self._left.pop(key, [*default])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvalidParameter(self.field(key), "must be a list of texts")
        return tuple(value)

    def take_file(self, key: str) -> Path | None:
        value = self.take_text(key, "")
        return Path(value) if value else None

    def take_source(self, default: str) -> str:
        value = self.take_text("source", default)
        if not _SOURCE.fullmatch(value):
            raise InvalidParameter(self.field("source"), "has other characters than a-z 0-9 . -")
        return value

    def take_table(self, key: str) -> _Table | None:
        value = self._left.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise InvalidParameter(self.field(key), "must be a table")
        return _Table(f"{self.field(key)}.", value)

    def take_roles(self) -> Roles:
        table = self.take_table("roles")
        if table is None:
            return {}
        return {
            _parse_role(table.field(name), name): frozenset(
                group.casefold() for group in table.take_texts(name)
            )
            for name in [*table._left]
        }

    def refuse_rest(self) -> None:
        for key in self._left:
            raise InvalidParameter(self.field(key), "is no option")


def _parse_role(field: str, name: str) -> Role:
    try:
        return Role(name)
    except ValueError:
        known = ", ".join(Role)
        raise InvalidParameter(field, f"{name!r} is no role: {known}") from None


def _parse_ldap(table: _Table) -> LdapOptions:
    options = LdapOptions(
        source=table.take_source("ldap"),
        url=table.take_text("url"),
        start_tls=table.take_flag("start_tls"),
        ca_file=table.take_file("ca_file"),
        bind_dn=table.take_text("bind_dn", ""),
        bind_password_file=table.take_file("bind_password_file"),
        user_base=table.take_text("user_base"),
        user_filter=table.take_text("user_filter", "(uid={name})"),
        name_attribute=table.take_text("name_attribute", "uid"),
        group_base=table.take_text("group_base", ""),
        group_filter=table.take_text("group_filter", "(objectClass=groupOfNames)"),
        roles=table.take_roles(),
    )
    table.refuse_rest()
    schemes = ("ldap",) if options.start_tls else ("ldaps",)
    parts = urlsplit(options.url)
    if parts.scheme not in schemes or not parts.hostname:
        raise InvalidParameter(
            table.field("url"), "passwords need TLS: ldaps://HOST, or ldap://HOST with start_tls"
        )
    if options.user_filter.count("{name}") != 1:
        raise InvalidParameter(table.field("user_filter"), "must have {name} once")
    if bool(options.bind_dn) != bool(options.bind_password_file):
        raise InvalidParameter(table.field("bind_dn"), "goes with bind_password_file")
    if options.roles and not options.group_base:
        raise InvalidParameter(table.field("group_base"), "roles need it")
    return options


def _parse_oidc(table: _Table) -> OidcOptions:
    source = table.take_source("oidc")
    options = OidcOptions(
        source=source,
        title=table.take_text("title", source),
        issuer=table.take_text("issuer"),
        ca_file=table.take_file("ca_file"),
        client_id=table.take_text("client_id"),
        client_secret_file=table.take_file("client_secret_file"),
        scopes=table.take_texts("scopes", ("openid", "profile")),
        name_claim=table.take_text("name_claim", "preferred_username"),
        groups_claim=table.take_text("groups_claim", "groups"),
        groups=frozenset(group.casefold() for group in table.take_texts("groups")),
        roles=table.take_roles(),
        trust=timedelta(hours=table.take_number("hold_hours", range(1, _LONGEST_HOURS + 1))),
    )
    table.refuse_rest()
    parts = urlsplit(options.issuer)
    is_private = parts.scheme == "https" or parts.hostname in _LOOPBACK
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_private:
        raise InvalidParameter(table.field("issuer"), "must be an https:// address")
    if "openid" not in options.scopes:
        raise InvalidParameter(table.field("scopes"), "must have openid")
    return options
