"""What a sign-in file may say; what is wrong in it is named."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from typing import Any

import pytest

from openrdms.model.account import Role
from openrdms.model.errors import InvalidParameter
from openrdms.model.sign_in_options import parse_options

LDAP = """
[ldap]
url = "ldaps://dc.example.test"
user_base = "ou=people,dc=x"
group_base = "ou=groups,dc=x"
[ldap.roles]
auditor = ["CN=Audit,dc=x"]
"""
OIDC = '[oidc]\nissuer = "https://id.example.test"\nclient_id = "rdms"\n'


def parse(text: str) -> Any:
    return parse_options(tomllib.loads(text))


def test_an_empty_file_says_nothing() -> None:
    options = parse("")
    assert (options.ldap, options.oidc, options.second_factor) == (None, None, frozenset())


def test_both() -> None:
    options = parse('second_factor = ["auditor"]\n' + LDAP + OIDC)
    assert options.second_factor == {Role.AUDITOR}
    assert options.ldap.roles == {Role.AUDITOR: {"cn=audit,dc=x"}}
    assert (options.ldap.source, options.oidc.source) == ("ldap", "oidc")


def test_accounts_of_a_provider_hold_as_long_as_is_said() -> None:
    assert parse(OIDC).oidc.trust == timedelta(hours=12)
    assert parse(OIDC + "hold_hours = 2").oidc.trust == timedelta(hours=2)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('second_factor = ["king"]', "second_factor"),
        ("second_factor = 1", "second_factor"),
        ("other = 1", "other"),
        ("ldap = 1", "ldap"),
        (LDAP.replace("ldaps:", "ldap:"), "ldap.url"),
        (LDAP.replace("ldaps://dc.example.test", "http://x"), "ldap.url"),
        (LDAP.replace("group_base", "group_bass"), "ldap.group_bass"),
        (LDAP.replace("auditor", "king"), "ldap.roles.king"),
        (LDAP.replace("[ldap.roles]", 'user_filter = "(uid=x)"\n[ldap.roles]'), "ldap.user_filter"),
        (LDAP.replace("[ldap.roles]", 'bind_dn = "cn=x"\n[ldap.roles]'), "ldap.bind_dn"),
        (LDAP.replace("[ldap.roles]", 'source = "A B"\n[ldap.roles]'), "ldap.source"),
        (LDAP.replace('group_base = "ou=groups,dc=x"', ""), "ldap.group_base"),
        (OIDC.replace("https:", "http:"), "oidc.issuer"),
        (OIDC.replace("client_id", "client"), "oidc.client_id"),
        (OIDC + 'scopes = ["profile"]', "oidc.scopes"),
        (OIDC + "hold_hours = 0", "oidc.hold_hours"),
        (OIDC + "hold_hours = 13", "oidc.hold_hours"),
        (OIDC + "hold_hours = true", "oidc.hold_hours"),
        (OIDC + 'hold_hours = "1"', "oidc.hold_hours"),
        (OIDC + 'source = "ldap"' + LDAP, "oidc.source"),
    ],
)
def test_what_is_wrong_is_named(text: str, field: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        parse(text)
    assert refused.value.field == field
