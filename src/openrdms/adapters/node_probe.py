"""Whether a machine that is to join answers (ports.NodeProbe): its libvirt, or else its sshd."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

from openrdms.model.errors import HostUnavailable

_LIBVIRT_SECONDS = 10
_SSH_SECONDS = 5.0
_LONGEST_GREETING = 8192
"""Octets before an SSH server's version line (RFC 4253 section 4.2 lets it say other things)."""

_REMOTE = "openrdms.adapters.libvirt.remote"


class NodeProbe:
    """Asks libvirt over SSH, in batch mode and with known host keys only, then for SSH's banner.

    ``libvirt_uri`` and ``address`` say where to ask instead of the machine itself: for tests.
    """

    def __init__(
        self,
        libvirt_uri: str = "qemu+ssh://{fqdn}/system?no_tty=1",
        address: str = "{fqdn}",
        ssh_port: int = 22,
    ) -> None:
        self._libvirt_uri = libvirt_uri
        self._address = address
        self._ssh_port = ssh_port

    def require_answer(self, fqdn: str) -> None:
        """See ports.NodeProbe."""
        uri = self._libvirt_uri.format(fqdn=fqdn)
        address = (self._address.format(fqdn=fqdn), self._ssh_port)
        refused = _ask_libvirt(uri)
        if not refused:
            return
        silent = _ask_ssh(address)
        if silent:
            raise HostUnavailable(
                f"{fqdn} does not answer; {uri}: {refused}; SSH on port {self._ssh_port}: {silent}"
            )


def _ask_libvirt(uri: str) -> str:
    """Why that libvirt does not answer, "" when it does."""
    limit = ["timeout", "--kill-after=1", str(_LIBVIRT_SECONDS)]  # with all that it started
    try:
        asked = subprocess.run(
            [*limit, sys.executable, "-m", _REMOTE, uri],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
            timeout=_LIBVIRT_SECONDS + 2,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if asked.returncode == 0:
        return ""
    return " ".join(asked.stdout.split()) or f"no answer within {_LIBVIRT_SECONDS} s"


def _ask_ssh(address: tuple[str, int]) -> str:
    """Why there is no SSH server, "" when there is one."""
    deadline = time.monotonic() + _SSH_SECONDS
    greeting = b""
    try:
        with socket.create_connection(address, _SSH_SECONDS) as connection:
            while b"SSH-" not in greeting:
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                received = connection.recv(_LONGEST_GREETING)
                greeting += received
                if not received or len(greeting) > _LONGEST_GREETING:
                    return "what answers is no SSH server"
    except TimeoutError:
        return f"no answer within {_SSH_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return ""
