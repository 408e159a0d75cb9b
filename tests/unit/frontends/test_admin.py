"""The admin socket: one conversation, who may have it, what happens when it breaks off."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openrdms.frontends.admin import SOCKET, client
from openrdms.frontends.admin.commands import LocalAdmin
from openrdms.frontends.admin.server import AdminServer
from openrdms.frontends.admin.target import Progress
from openrdms.model import errors


class FakeAdmin:
    """``echo`` returns its arguments after two reports; ``fail`` cannot; ``slow`` waits."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.finished = threading.Event()

    def run(self, command: str, arguments: dict[str, Any], progress: Progress) -> Any:
        if command == "fail":
            raise errors.OutOfSpace("needs 5 bytes, has 4")
        if command == "slow":
            progress(0.5, "half")
            assert self.go_on.wait(30)
            progress(0.9, "nearly")
            self.finished.set()
            return None
        progress(0.25, "looking")
        progress(1.0, "found")
        return arguments


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """A path longer than a socket's name may be."""
    directory = tmp_path / ("long-" * 24)
    directory.mkdir()
    assert len(bytes(directory)) > 120
    return directory


@pytest.fixture
def admin() -> FakeAdmin:
    return FakeAdmin()


@pytest.fixture
def server(state_dir: Path, admin: FakeAdmin) -> Iterator[AdminServer]:
    with AdminServer(state_dir, lambda _who: admin) as server:
        server.start()
        yield server
        server.shutdown()


def run(state_dir: Path, command: str, **arguments: Any) -> tuple[Any, list[tuple[float, str]]]:
    reports: list[tuple[float, str]] = []
    with client.connect(state_dir) as remote:
        assert remote is not None
        result = remote.run(command, arguments, lambda done, words: reports.append((done, words)))
    return result, reports


@pytest.mark.usefixtures("server")
def test_a_command_reports_and_returns(state_dir: Path) -> None:
    result, reports = run(state_dir, "echo", name="Ünïcode\n", size=3)
    assert result == {"name": "Ünïcode\n", "size": 3}
    assert reports == [(0.25, "looking"), (1.0, "found")]


@pytest.mark.usefixtures("server")
def test_an_error_arrives_as_one(state_dir: Path) -> None:
    with pytest.raises(errors.RdmsError, match="needs 5 bytes"):
        run(state_dir, "fail")


@pytest.mark.usefixtures("server")
def test_the_socket_is_its_owners_alone(state_dir: Path) -> None:
    assert stat.S_IMODE((state_dir / SOCKET).stat().st_mode) == 0o600


def test_another_account_is_not_served(
    server: AdminServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert server.verify_request(ours, "")
        uid = os.geteuid()

        class Stranger:
            def getsockopt(self, *_: int) -> bytes:
                return b"".join(n.to_bytes(4, "little") for n in (1, uid + 1, 1))

        assert not server.verify_request(Stranger(), "")


@pytest.mark.parametrize("line", [b"no json\n", b"[]\n", b'{"command": 3, "arguments": {}}\n'])
@pytest.mark.usefixtures("server")
def test_what_is_no_request_is_told_so(state_dir: Path, line: bytes) -> None:
    link = client.runtime_dir.make_runtime_dir(state_dir)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(link / SOCKET))
        connection.sendall(line)
        reply = json.loads(connection.makefile().readline())
    assert reply["code"] == errors.InvalidParameter.code


@pytest.mark.usefixtures("server")
def test_work_goes_on_when_the_client_goes_away(state_dir: Path, admin: FakeAdmin) -> None:
    with client.connect(state_dir) as remote:
        assert remote is not None
        with pytest.raises(KeyboardInterrupt):
            remote.run("slow", {}, _interrupt)
    admin.go_on.set()
    assert admin.finished.wait(30)


def test_without_a_service_there_is_nobody(state_dir: Path) -> None:
    with client.connect(state_dir) as remote:
        assert remote is None


def test_a_killed_services_socket_is_nobody_and_no_obstacle(
    state_dir: Path, admin: FakeAdmin
) -> None:
    AdminServer(state_dir, lambda _who: admin).server_close()
    assert (state_dir / SOCKET).exists()
    with client.connect(state_dir) as remote:
        assert remote is None
    AdminServer(state_dir, lambda _who: admin).server_close()


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [("explode", {}, "explode"), ("image list", {"colour": "red"}, "colour")],
)
def test_unknown_commands_and_arguments_are_named(
    command: str, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.InvalidParameter, match=words):
        LocalAdmin(object(), "root").run(command, arguments, lambda *_: None)


def _interrupt(_done: float, _words: str) -> None:
    raise KeyboardInterrupt


def test_directory_that_is_not_ours_is_named(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(client.runtime_dir, "make_runtime_dir", refuse)
    with pytest.raises(errors.AccessDenied, match=r"long-.*denied"), client.connect(state_dir):
        pass
