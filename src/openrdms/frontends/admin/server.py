"""The socket's server end: one thread per client."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import socketserver
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from openrdms import runtime_dir
from openrdms.frontends.admin import SOCKET
from openrdms.frontends.admin.target import Admin
from openrdms.model import errors

_PEER = struct.Struct("3i")
"""struct ucred of SO_PEERCRED (unix(7)): pid, uid, gid."""

_log = structlog.get_logger(__name__)


class AdminServer(socketserver.ThreadingUnixStreamServer):
    """Listens in the state directory; one thread per client."""

    daemon_threads = True

    def __init__(self, state_dir: Path, admin_for: Callable[[str], Admin]) -> None:
        """``admin_for`` makes what runs the commands of an account of this machine."""
        path = runtime_dir.make_runtime_dir(state_dir) / SOCKET
        path.unlink(missing_ok=True)  # of a service that was killed
        self.admin_for = admin_for
        super().__init__(str(path), _Conversation)

    def server_bind(self) -> None:
        """Bind, and keep others out before anybody can connect."""
        super().server_bind()
        os.chmod(str(self.server_address), 0o600)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """True for root and for the account of this process."""
        return _peer_uid(request) in (0, os.geteuid())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what no command should let out; the client sees its connection end."""
        _log.exception("admin request failed")

    def start(self) -> None:
        """Serve on a thread of its own."""
        threading.Thread(target=self.serve_forever, name="admin", daemon=True).start()


class _Conversation(socketserver.StreamRequestHandler):
    server: AdminServer

    def handle(self) -> None:
        """Answer one request."""
        try:
            match json.loads(self.rfile.readline()):
                case {"command": str(command), "arguments": dict(arguments)}:
                    self._run(command, arguments)
                case _:
                    self._reply({"error": "not a request", "code": errors.InvalidParameter.code})
        except json.JSONDecodeError:
            self._reply({"error": "not JSON", "code": errors.InvalidParameter.code})

    def _run(self, command: str, arguments: dict[str, Any]) -> None:
        _log.info("admin command", command=command)
        try:
            admin = self.server.admin_for(local_name(_peer_uid(self.request)))
            result = admin.run(command, arguments, self._report)
        except errors.RdmsError as error:
            self._reply({"error": str(error), "code": error.code})
        except Exception:  # noqa: BLE001 - the edge: a command gets an answer, the log the trace
            _log.exception("an admin command failed unexpectedly")
            words = "the service failed; see its log"
            self._reply({"error": words, "code": errors.WbemCode.FAILED})
        else:
            self._reply({"result": result})

    def _report(self, fraction: float, words: str) -> None:
        self._reply({"progress": [fraction, words]})

    def _reply(self, reply: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the client is gone; its work goes on
            self.wfile.write(json.dumps(reply).encode() + b"\n")


def local_name(uid: int) -> str:
    """The name of an account of this machine."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _peer_uid(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    uid: int = _PEER.unpack(credentials)[1]
    return uid
