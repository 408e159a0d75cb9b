"""OpenSSH between this machine and those in namespaces: keys, a server's settings, and a client
that knows these hosts alone.
"""

from __future__ import annotations

from pathlib import Path

from live.network import run

_SERVER = """
ListenAddress {address}
HostKey {directory}/hostkey
AuthorizedKeysFile {client}/userkey.pub
AuthenticationMethods publickey
StrictModes no
UsePAM no
PidFile none
"""
_CLIENT = """#!/bin/sh
exec /usr/bin/ssh -F none -o IdentitiesOnly=yes -o UserKnownHostsFile={known} \\
  -o GlobalKnownHostsFile=none "$@"
"""
_ACCOUNTS = """root:*:20000:0:99999:7:::
sshd:!:20000::::::
"""
"""sshd lets nobody in whose account is locked, as that of this machine's root may be."""


class Client:
    """A user, whose key is ``keyfile``. His ``ssh`` is in ``programs``, to be put in PATH."""

    def __init__(self, directory: Path) -> None:
        self.keyfile = directory / "userkey"
        self.programs = directory / "programs"
        self._known = directory / "known_hosts"
        _make_key(self.keyfile)
        self.programs.mkdir()
        program = self.programs / "ssh"
        program.write_text(_CLIENT.format(known=self._known))
        program.chmod(0o755)

    def prepare_server(self, directory: Path, address: str) -> None:
        """Settings and key of a host's sshd, for ``sshd -f``, and its accounts, in ``directory``.

        The client is let in there, and knows it.
        """
        _make_key(directory / "hostkey")
        kind, key, *_ = (directory / "hostkey.pub").read_text().split()
        with self._known.open("a") as known:
            known.write(f"{address} {kind} {key}\n")
        settings = _SERVER.format(address=address, directory=directory, client=self.keyfile.parent)
        (directory / "sshd_config").write_text(settings)
        (directory / "shadow").write_text(_ACCOUNTS)


def _make_key(file: Path) -> None:
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", "-f", str(file))
