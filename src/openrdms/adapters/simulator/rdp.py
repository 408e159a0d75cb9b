"""RDP of simulated VMs: a server that confirms a connection and then tells whose it is.

Beyond the connection request (X.224, RFC 905 13.3; MS-RDPBCGR 2.2.1.1) nothing of the protocol is
simulated: what follows the confirmation is the VM's name as a line, then every octet comes back.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from openrdms.model.errors import RdmsError

CONFIRMATION = bytes.fromhex("0300000b06d00000123400")
_LONGEST_REQUEST = 512
_RECEIVE_SIZE = 64 << 10
_LOOK_SECONDS = 1.0
"""How often it is looked whether the VM still runs."""


class RdpServers:
    """Those of one host, each opened when somebody asks where it is. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._servers: dict[str, socket.socket] = {}
        self._connections: set[socket.socket] = set()

    def address_of(self, vm: str, check: Callable[[], None]) -> tuple[str, int]:
        """Where the VM listens. ``check`` raises RdmsError once it does not run."""
        key = vm.casefold()
        with self._lock:
            if key not in self._servers:
                self._servers[key] = socket.create_server(("127.0.0.1", 0))
                self._start(self._accept, self._servers[key], vm, check)
            host, port = self._servers[key].getsockname()
        return str(host), int(port)

    def close(self) -> None:
        """End them all."""
        with self._lock:
            everything = [*self._servers.values(), *self._connections]
            self._servers.clear()
        for one in everything:
            with suppress(OSError):  # it has just ended
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self, server: socket.socket, vm: str, check: Callable[[], None]) -> None:
        with server, suppress(OSError):
            while True:
                connection, _ = server.accept()
                self._start(self._serve, connection, vm, check)

    def _serve(self, connection: socket.socket, vm: str, check: Callable[[], None]) -> None:
        self._connections.add(connection)
        with connection, suppress(OSError, RdmsError):
            check()
            if connection.recv(_LONGEST_REQUEST)[:1] == b"\x03":
                connection.sendall(CONFIRMATION + f"{vm}\n".encode())
                connection.settimeout(_LOOK_SECONDS)
                _echo(connection, check)
        self._connections.discard(connection)

    @staticmethod
    def _start(run: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=run, args=arguments, name="simulated-rdp", daemon=True).start()


def _echo(connection: socket.socket, check: Callable[[], None]) -> None:
    while True:
        with suppress(TimeoutError):
            received = connection.recv(_RECEIVE_SIZE)
            if not received:
                return
            connection.sendall(received)
        check()
