"""OpenLDAP's server with people and groups, in a directory and on ports of its own, over TLS."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ldap
import ldap.modlist
from ldap.ldapobject import SimpleLDAPObject

from live.free_ports import free_port
from live.service import until
from openrdms.security import certificate

BASE = "dc=example,dc=test"
PEOPLE, GROUPS = f"ou=people,{BASE}", f"ou=groups,{BASE}"
ROOT, ROOT_PASSWORD = f"cn=root,{BASE}", "root of the tree"
READER, READER_PASSWORD = f"cn=reader,{BASE}", "reads everything"
SECRET = "swordfish of the directory"

_CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
moduleload back_mdb
pidfile {place}/pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
security simple_bind=128
database mdb
maxsize 16777216
directory {place}/data
suffix {base}
rootdn {root}
rootpw "{password}"
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact={reader} read by * none
"""


def dn_of(name: str) -> str:
    """Of somebody among the people."""
    return f"uid={name},{PEOPLE}"


def group_dn(name: str) -> str:
    """Of a group."""
    return f"cn={name},{GROUPS}"


class Slapd:
    """Started and stopped as a test likes; what it knows outlives that."""

    def __init__(self, place: Path) -> None:
        self._place = place
        (place / "data").mkdir(parents=True)
        self.certificate = certificate.ensure(place / "tls", "localhost").certificate
        self.ports = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        text = _CONFIG.format(
            place=place, certificate=self.certificate, key=place / "tls" / "key.pem",
            base=BASE, root=ROOT, password=ROOT_PASSWORD, reader=READER,
        )  # fmt: skip
        (place / "slapd.conf").write_text(text)

    @property
    def url(self) -> str:
        """With TLS from the beginning."""
        return f"ldaps://127.0.0.1:{self.ports[1]}"

    @property
    def plain_url(self) -> str:
        """For StartTLS."""
        return f"ldap://127.0.0.1:{self.ports[0]}"

    def start(self) -> None:
        """Return when it answers."""
        program = shutil.which("slapd") or "/usr/sbin/slapd"
        urls = f"ldap://127.0.0.1:{self.ports[0]}/ ldaps://127.0.0.1:{self.ports[1]}/"
        command = ["setpriv", "--pdeathsig", "KILL", program, "-d", "0", "-h", urls]
        self._process = subprocess.Popen([*command, "-f", self._place / "slapd.conf"])
        until("slapd answers", self._answers)

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def fill(self) -> None:
        """The tree's trunk and its reader."""
        with self.root() as tree:
            _add(tree, BASE, "dcObject", "organization", dc="example", o="Example")
            for dn in (PEOPLE, GROUPS):
                _add(tree, dn, "organizationalUnit", ou=dn[3:].partition(",")[0])
            role = ("organizationalRole", "simpleSecurityObject")
            _add(tree, READER, *role, cn="reader", userPassword=READER_PASSWORD)

    def add_person(self, name: str, password: str = SECRET) -> None:
        """Somebody who can sign in."""
        with self.root() as tree:
            one = {"uid": name, "cn": name, "sn": name, "userPassword": password}
            _add(tree, dn_of(name), "inetOrgPerson", **one)

    def remove(self, dn: str) -> None:
        """An entry."""
        with self.root() as tree:
            tree.delete_s(dn)

    def add_group(self, name: str, *members: str) -> None:
        """A group of DNs."""
        with self.root() as tree:
            attributes = {"objectClass": [b"groupOfNames"], "cn": [name.encode()]}
            attributes["member"] = [member.encode() for member in members]
            tree.add_s(group_dn(name), [*attributes.items()])

    @contextmanager
    def root(self) -> Iterator[SimpleLDAPObject]:
        """Who may change everything."""
        tree = ldap.initialize(self.url)
        tree.set_option(ldap.OPT_X_TLS_CACERTFILE, str(self.certificate))
        tree.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
        tree.simple_bind_s(ROOT, ROOT_PASSWORD)
        yield tree
        tree.unbind_s()

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, "slapd has ended"
        try:
            for port in self.ports:
                socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True


def _add(tree: SimpleLDAPObject, dn: str, *classes: str, **attributes: str) -> None:
    entry = {name: [value.encode()] for name, value in attributes.items()}
    entry["objectClass"] = [name.encode() for name in classes]
    tree.add_s(dn, ldap.modlist.addModlist(entry))
