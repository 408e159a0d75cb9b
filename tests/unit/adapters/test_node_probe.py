"""Machines that are to join: what answers, and what is said of those that do not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from openrdms.adapters import node_probe
from openrdms.adapters.node_probe import NodeProbe
from openrdms.model.errors import HostUnavailable

NO_LIBVIRT = "qemu+unix:///system?socket=/nonexistent/libvirt-sock"
FQDN = "node.example.org"


@contextmanager
def sshd(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """Something on a port of 127.0.0.1 that takes one connection and speaks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                speak(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(10)


def probe(port: int, libvirt_uri: str = NO_LIBVIRT) -> NodeProbe:
    return NodeProbe(libvirt_uri, "127.0.0.1", port)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Nobody listens there, nor can anybody else begin to."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def test_libvirt_that_answers_is_enough(closed_port: int) -> None:
    probe(closed_port, "test:///default").require_answer(FQDN)


@pytest.mark.parametrize(
    "greeting",
    [
        [b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"],
        [b"Go away\r\n", b"or stay\r\nSS", b"H-2.0-dropbear\r\n"],
    ],
    ids=["at once", "after other words, in pieces"],
)
def test_ssh_server_is_enough(greeting: list[bytes]) -> None:
    def speak(connection: socket.socket) -> None:
        for piece in greeting:
            connection.sendall(piece)
            time.sleep(0.01)

    with sshd(speak) as port:
        probe(port).require_answer(FQDN)


def test_refusal_says_what_was_tried_and_what_each_said(closed_port: int) -> None:
    with pytest.raises(HostUnavailable) as refused:
        probe(closed_port).require_answer(FQDN)
    words = str(refused.value)
    assert FQDN in words
    assert "libvirt-sock" in words
    assert f"SSH on port {closed_port}: Connection refused" in words


@pytest.mark.parametrize(
    ("speak", "words"),
    [
        (lambda connection: connection.sendall(b"220 smtp ready\r\n"), "no SSH server"),
        (lambda connection: connection.sendall(b"x" * 20_000), "no SSH server"),
        (lambda connection: connection.recv(1), "no answer within 0.2 s"),
    ],
    ids=["another service", "a chatterbox", "silence"],
)
def test_what_is_no_ssh_server(
    monkeypatch: pytest.MonkeyPatch, speak: Callable[[socket.socket], None], words: str
) -> None:
    if "within" in words:
        monkeypatch.setattr(node_probe, "_SSH_SECONDS", 0.2)
    with sshd(speak) as port, pytest.raises(HostUnavailable, match=words):
        probe(port).require_answer(FQDN)


def test_libvirt_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    monkeypatch.setattr(node_probe, "_LIBVIRT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"qemu+tcp://127.0.0.1:{silent.getsockname()[1]}/system"
        begun = time.monotonic()
        with pytest.raises(HostUnavailable, match="no answer within 1 s"):
            probe(closed_port, uri).require_answer(FQDN)
    assert time.monotonic() - begun < 20
