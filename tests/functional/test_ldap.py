"""The LDAP adapter against OpenLDAP's own server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import ldap
import pytest

from live.free_ports import free_port
from live.slapd import GROUPS, PEOPLE, READER, READER_PASSWORD, SECRET, Slapd, dn_of, group_dn
from openrdms.adapters.ldap.directory import LdapDirectory
from openrdms.model.account import Role
from openrdms.model.errors import DirectoryUnavailable
from openrdms.model.sign_in_options import LdapOptions


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    server = Slapd(tmp_path_factory.mktemp("slapd"))
    try:
        server.start()
        server.fill()
        for name in ("ann", "bob", "eve*", "carl(x)"):
            server.add_person(name)
        server.add_group("vdi", dn_of("ann"), dn_of("carl(x)"))
        server.add_group("staff", group_dn("vdi"), dn_of("bob"))
        server.add_group("everybody", group_dn("staff"), group_dn("everybody"))
        yield server
    finally:
        server.stop()


@pytest.fixture
def options(server: Slapd, tmp_path: Path) -> LdapOptions:
    (tmp_path / "password").write_text(READER_PASSWORD + "\n")
    return LdapOptions(
        source="corp", url=server.url, start_tls=False, ca_file=server.certificate,
        bind_dn=READER, bind_password_file=tmp_path / "password", user_base=PEOPLE,
        user_filter="(&(objectClass=inetOrgPerson)(uid={name}))", name_attribute="uid",
        group_base=GROUPS, group_filter="(objectClass=groupOfNames)",
        roles={Role.OPERATOR: frozenset([group_dn("staff")])},
    )  # fmt: skip


@pytest.fixture
def directory(options: LdapOptions) -> LdapDirectory:
    return LdapDirectory(options)


def test_somebody_with_his_groups_and_theirs(directory: LdapDirectory) -> None:
    ann = directory.authenticate("ANN", SECRET)
    assert ann is not None
    assert (ann.name, ann.sid) == ("ann", "")
    assert len(ann.external_id) == 36
    assert sorted(group.name for group in ann.groups) == ["everybody", "staff", "vdi"]
    assert {group.key for group in ann.groups} >= {group_dn("vdi")}


@pytest.mark.parametrize(
    "name", ["ann", "nobody", "", "*", "a*", "eve", "ann)(uid=*", "ann\0", "\\"]
)
@pytest.mark.parametrize("password", ["wrong", "", "\0", "x" * 1000])
def test_wrong_words_prove_nothing(directory: LdapDirectory, name: str, password: str) -> None:
    assert directory.authenticate(name, password) is None


@pytest.mark.parametrize("name", ["*", "a*", "eve", "ann)(uid=*", "ann)(|(uid=*)", "eve\\2a"])
def test_a_name_is_no_filter(directory: LdapDirectory, name: str) -> None:
    assert directory.authenticate(name, SECRET) is None


@pytest.mark.parametrize("name", ["eve*", "carl(x)"])
def test_names_that_look_like_filters_are_names(directory: LdapDirectory, name: str) -> None:
    found = directory.authenticate(name, SECRET)
    assert found is not None
    assert found.name == name


def test_start_tls(server: Slapd, options: LdapOptions) -> None:
    directory = LdapDirectory(replace(options, url=server.plain_url, start_tls=True))
    assert directory.authenticate("ann", SECRET) is not None


def test_a_server_whose_certificate_nobody_vouches_for(options: LdapOptions) -> None:
    with pytest.raises(DirectoryUnavailable):
        LdapDirectory(replace(options, ca_file=None)).authenticate("ann", SECRET)


def test_a_service_account_with_a_wrong_password(options: LdapOptions) -> None:
    assert options.bind_password_file
    options.bind_password_file.write_text("wrong\n")
    with pytest.raises(DirectoryUnavailable):
        LdapDirectory(options).authenticate("ann", SECRET)


def test_who_is_looked_up_is_who_he_was(server: Slapd, directory: LdapDirectory) -> None:
    server.add_person("dora")
    dora = directory.authenticate("dora", SECRET)
    bob = directory.authenticate("bob", SECRET)
    assert dora
    assert bob
    server.remove(dn_of("dora"))
    server.add_person("dora")  # another one
    known = [("bob", bob.external_id), ("dora", dora.external_id), ("gone", "x")]
    assert directory.look_up(known) == [bob, None, None]
    again = directory.authenticate("dora", SECRET)
    assert again
    assert again.external_id != dora.external_id


def test_somebody_who_is_locked_out_there(server: Slapd, directory: LdapDirectory) -> None:
    server.add_person("lora")
    lora = directory.authenticate("lora", SECRET)
    assert lora
    with server.root() as tree:
        tree.modify_s(dn_of("lora"), [(ldap.MOD_REPLACE, "userPassword", [b"{SSHA}no"])])
    assert directory.authenticate("lora", SECRET) is None


def test_a_server_that_is_gone(options: LdapOptions) -> None:
    gone = replace(options, url=f"ldaps://127.0.0.1:{free_port()}")
    with pytest.raises(DirectoryUnavailable):
        LdapDirectory(gone).authenticate("ann", SECRET)
    with pytest.raises(DirectoryUnavailable):
        LdapDirectory(gone).look_up([("ann", "x")])
