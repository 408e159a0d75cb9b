"""A Kerberos realm on loopback: MIT's KDC with a database of its own, gone with the test."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from live.free_ports import free_port

REALM = "RDMS.TEST"

_CLIENT = """
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
 }}
"""
_SERVER = """
[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {realm} = {{
  database_name = {place}/principal
  key_stash_file = {place}/stash
 }}
"""


class Kdc:
    """``keytab`` has the keys of HTTP/localhost and WSMAN/localhost."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._place = place
        port = free_port()
        facts = {"realm": REALM, "port": port, "place": place}
        (place / "krb5.conf").write_text(_CLIENT.format(**facts))
        (place / "kdc.conf").write_text(_SERVER.format(**facts))
        self.keytab = place / "service.keytab"
        self.environment: Mapping[str, str] = {
            "KRB5_CONFIG": str(place / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(place / "kdc.conf"),
            "KRB5RCACHENAME": f"dfl:{place}",
            "KRB5CCNAME": f"FILE:{place}/none",
        }
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        for service in ("HTTP", "WSMAN"):
            self.add_principal(f"{service}/localhost", self.keytab)
        self._process = subprocess.Popen(
            ["/usr/sbin/krb5kdc", "-n", "-r", REALM],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_for(port)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def add_principal(self, name: str, keytab: Path) -> None:
        """Make a principal and put its keys there."""
        self._run("kadmin.local", "-r", REALM, "addprinc", "-randkey", name)
        self._run("kadmin.local", "-r", REALM, "ktadd", "-q", "-k", str(keytab), name)

    def sign_in(self, name: str) -> str:
        """Make a principal and get it a ticket; returns what KRB5CCNAME has to be."""
        keytab = self._place / f"{name}.keytab"
        self.add_principal(name, keytab)
        cache = f"FILE:{self._place}/{name}.ccache"
        self._run("kinit", "-k", "-t", str(keytab), "-c", cache, f"{name}@{REALM}")
        return cache

    def _run(self, *command: str) -> None:
        environment = {**os.environ, **self.environment}
        environment["PATH"] += ":/usr/sbin"
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, "the KDC does not answer"
            time.sleep(0.02)
        else:
            return
