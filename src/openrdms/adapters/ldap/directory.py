"""An LDAP directory by python-ldap. Each call has a connection of its own, and ends in good time.

The service account finds the entry of a name; the person's own password is then tried on that
entry. Of two entries with one name neither gets in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import ldap
import ldap.filter
from ldap.ldapobject import SimpleLDAPObject

from openrdms.adapters.ldap.entries import (
    IDENTIFIERS,
    STATUS,
    Entry,
    external_id_of,
    may_sign_in,
    sid_of,
    text_of,
)
from openrdms.model.directory import DirectoryGroup, DirectoryUser
from openrdms.model.errors import DirectoryUnavailable, InvalidParameter
from openrdms.model.sign_in_options import LdapOptions

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0

MAX_DEPTH = 10
"""Groups in groups, where the directory cannot say all of them at once."""
_AT_ONCE = 50
"""Members that one search asks for."""

_WRONG_PASSWORD = (
    ldap.INVALID_CREDENTIALS,
    ldap.INAPPROPRIATE_AUTH,
    ldap.UNWILLING_TO_PERFORM,
    ldap.CONSTRAINT_VIOLATION,
)
"""What servers answer to one, and to any while the entry is locked out."""

_IN_CHAIN = "1.2.840.113556.1.4.1941"
_IS_AD = b"1.2.840.113556.1.4.800"
"""LDAP_MATCHING_RULE_IN_CHAIN, and the capability of Active Directory (MS-ADTS 3.1.1.3.4)."""


class LdapDirectory:
    """Safe from any thread. See ports.Directory."""

    def __init__(self, options: LdapOptions) -> None:
        """InvalidParameter for a password file that cannot be read."""
        self._options = options
        self._password = _read_password(options)

    @property
    def source(self) -> str:
        return self._options.source

    def authenticate(self, name: str, password: str) -> DirectoryUser | None:
        """Who it is. An empty password is none: directories would take it for nobody's bind."""
        if not name or not password:
            return None
        with self._connect() as connection:
            entry = self._find_entry(connection, self._filter_name(name))
            if entry is None or not self._is_password(entry[0], password):
                return None
            return self._describe(connection, entry)

    def look_up(self, users: Iterable[tuple[str, str]]) -> list[DirectoryUser | None]:
        """See ports.Directory."""
        with self._connect() as connection:
            return [self._look_up(connection, *user) for user in users]

    def _look_up(
        self, connection: SimpleLDAPObject, name: str, external_id: str
    ) -> DirectoryUser | None:
        entry = self._find_entry(connection, self._filter_name(name))
        if entry is None or external_id_of(entry) != external_id:
            return None
        return self._describe(connection, entry)

    def _filter_name(self, name: str) -> str:
        escaped = ldap.filter.escape_filter_chars(name, escape_mode=1)
        return self._options.user_filter.replace("{name}", escaped)

    def _find_entry(self, connection: SimpleLDAPObject, wanted: str) -> Entry | None:
        names = [self._options.name_attribute, "objectSid", *IDENTIFIERS, *STATUS]
        found = self._search(connection, self._options.user_base, wanted, names)
        if len(found) != 1 or not may_sign_in(found[0], datetime.now(UTC)):
            return None
        return found[0]

    def _is_password(self, dn: str, password: str) -> bool:
        try:
            with self._open() as connection:
                connection.simple_bind_s(dn, password)
                return bool(connection.whoami_s())  # "" is nobody: RFC 4513 5.1.2
        except _WRONG_PASSWORD:
            return False

    def _describe(self, connection: SimpleLDAPObject, entry: Entry) -> DirectoryUser | None:
        name = text_of(entry, self._options.name_attribute)
        if not name:
            return None
        groups = self._find_groups(connection, entry[0]) if self._options.group_base else []
        return DirectoryUser(name, external_id_of(entry), sid_of(entry), tuple(groups))

    def _find_groups(self, connection: SimpleLDAPObject, dn: str) -> list[DirectoryGroup]:
        """Those that he is in himself, and those that these are in."""
        if self._knows_chains(connection):
            found = {item[0]: item for item in self._search_groups(connection, [dn], _IN_CHAIN)}
            return [_as_group(item) for item in found.values()]
        found, newest = {}, [dn]
        for _ in range(MAX_DEPTH):
            batches = [newest[at : at + _AT_ONCE] for at in range(0, len(newest), _AT_ONCE)]
            items = [item for part in batches for item in self._search_groups(connection, part)]
            newest = [item[0] for item in items if item[0] not in found]
            found.update({item[0]: item for item in items})
            if not newest:
                break
        return [_as_group(item) for item in found.values()]

    def _search_groups(
        self, connection: SimpleLDAPObject, members: list[str], rule: str = ""
    ) -> list[Entry]:
        names = [f"member:{rule}:"] if rule else ["member", "uniqueMember"]
        members = [ldap.filter.escape_filter_chars(member) for member in members]
        any_of = "".join(f"({name}={member})" for name in names for member in members)
        wanted = f"(&{self._options.group_filter}(|{any_of}))"
        wanted_names = ["cn", "objectSid", *IDENTIFIERS]
        return self._search(connection, self._options.group_base, wanted, wanted_names)

    def _knows_chains(self, connection: SimpleLDAPObject) -> bool:
        root = connection.read_rootdse_s(attrlist=["supportedCapabilities"])
        return _IS_AD in root.get("supportedCapabilities", ())

    def _search(
        self, connection: SimpleLDAPObject, base: str, wanted: str, names: list[str]
    ) -> list[Entry]:
        found = connection.search_ext_s(
            base, ldap.SCOPE_SUBTREE, wanted, names, timeout=ANSWER_SECONDS
        )
        return [
            (dn, {name.lower(): values for name, values in attributes.items()})
            for dn, attributes in found
            if dn is not None  # a referral: we ask one directory
        ]

    @contextmanager
    def _connect(self) -> Iterator[SimpleLDAPObject]:
        """As the service account. DirectoryUnavailable for whatever goes wrong meanwhile."""
        try:
            with self._open() as connection:
                connection.simple_bind_s(self._options.bind_dn, self._password)
                yield connection
        except ldap.LDAPError as error:
            raise DirectoryUnavailable(f"{self.source}: {_explain(error)}") from error

    @contextmanager
    def _open(self) -> Iterator[SimpleLDAPObject]:
        connection = ldap.initialize(self._options.url, bytes_strictness="error")
        try:
            connection.protocol_version = ldap.VERSION3
            connection.set_option(ldap.OPT_REFERRALS, 0)
            connection.set_option(ldap.OPT_NETWORK_TIMEOUT, CONNECT_SECONDS)
            connection.set_option(ldap.OPT_TIMEOUT, ANSWER_SECONDS)
            connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
            if self._options.ca_file:
                connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self._options.ca_file))
            connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
            if self._options.start_tls:
                connection.start_tls_s()
            yield connection
        finally:
            with suppress(ldap.LDAPError):  # it is over anyway
                connection.unbind_s()


def _as_group(entry: Entry) -> DirectoryGroup:
    return DirectoryGroup(entry[0], text_of(entry, "cn"), external_id_of(entry), sid_of(entry))


def _read_password(options: LdapOptions) -> str:
    if options.bind_password_file is None:
        return ""
    try:
        return options.bind_password_file.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidParameter("ldap.bind_password_file", f"cannot be read: {error}") from error


def _explain(error: ldap.LDAPError) -> str:
    """Its words; "info" may quote what was sent, and is left out."""
    details: Any = error.args[0] if error.args else {}
    words = details.get("desc", "") if isinstance(details, dict) else ""
    return words or type(error).__name__
