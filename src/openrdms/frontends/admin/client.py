"""Runs administration commands in the service of a state directory."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openrdms import runtime_dir
from openrdms.frontends.admin import SOCKET
from openrdms.frontends.admin.target import Progress
from openrdms.model import errors


class RemoteError(errors.RdmsError):
    """What the service said it could not do."""


class RemoteAdmin:
    """Runs commands in the service at the other end of a socket, one a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._stream = connection.makefile("rw", encoding="utf-8")

    def run(self, command: str, arguments: dict[str, Any], progress: Progress) -> Any:
        """See Admin. OperationFailed when the service ends meanwhile."""
        request = json.dumps({"command": command, "arguments": arguments})
        self._stream.write(request + "\n")
        self._stream.flush()
        for line in self._stream:
            match json.loads(line):
                case {"progress": [fraction, words]}:
                    progress(fraction, words)
                case {"error": text}:
                    raise RemoteError(text)
                case {"result": result}:
                    return result
        raise errors.OperationFailed("the service ended while it worked on this")


@contextmanager
def connect(state_dir: Path) -> Iterator[RemoteAdmin | None]:
    """The service of that state directory, None when none runs. AccessDenied."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(runtime_dir.make_runtime_dir(state_dir) / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            yield None
        except PermissionError as error:
            raise errors.AccessDenied(f"{state_dir}: {error}") from error
        else:
            yield RemoteAdmin(connection)
