from __future__ import annotations

import json
import threading
import time
from typing import Any

import libvirt
import libvirt_qemu
import pytest

from openrdms.adapters.libvirt.agent import LibvirtAgent
from openrdms.model.errors import GuestUnreachable, OperationFailed, RdmsError, VmNotRunning


class Domain:
    """As much of a libvirt domain as a call needs."""

    def agentSetResponseTimeout(self, seconds: int) -> None:  # noqa: N802 - libvirt's name
        self.patience = seconds


class Guest:
    """Stands for the agent behind libvirt's call: answers, or raises that libvirt error."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, Any], int]] = []
        self.error: int | None = None

    def command(self, domain: Domain, request: str, timeout: int, flags: int) -> str:
        assert domain.patience == timeout
        self.requests.append((json.loads(request), timeout))
        if self.error is None:
            return json.dumps({"return": {"pid": 7}})
        error = libvirt.libvirtError("no")
        error.err = (self.error, 0, "the words", 0, "", None, None, 0, 0)
        raise error


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> Guest:
    guest = Guest()
    monkeypatch.setattr(libvirt_qemu, "qemuAgentCommand", guest.command)
    return guest


@pytest.fixture
def lock() -> threading.Lock:
    return threading.Lock()


@pytest.fixture
def channel(lock: threading.Lock) -> LibvirtAgent:
    return LibvirtAgent("desk", lambda name: Domain(), lock)


def test_command_and_arguments_go_and_the_value_returns(
    guest: Guest, channel: LibvirtAgent
) -> None:
    assert channel.call("guest-exec", {"path": "/bin/true"}, timeout=5.5) == {"pid": 7}
    channel.call("guest-ping", timeout=2)
    channel.call("guest-ping", timeout=0.2)
    assert guest.requests == [
        ({"execute": "guest-exec", "arguments": {"path": "/bin/true"}}, 5),
        ({"execute": "guest-ping"}, 2),
        ({"execute": "guest-ping"}, 1),
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, GuestUnreachable),
        (libvirt.VIR_ERR_AGENT_UNSYNCED, GuestUnreachable),
        (libvirt.VIR_ERR_OPERATION_TIMEOUT, GuestUnreachable),
        (libvirt.VIR_ERR_RPC, GuestUnreachable),
        (libvirt.VIR_ERR_OPERATION_INVALID, VmNotRunning),
        (libvirt.VIR_ERR_NO_DOMAIN, VmNotRunning),
        (libvirt.VIR_ERR_INTERNAL_ERROR, OperationFailed),
    ],
)
def test_errors_say_what_is_wrong_with_which_vm(
    guest: Guest, channel: LibvirtAgent, lock: threading.Lock, code: int, expected: type[RdmsError]
) -> None:
    guest.error = code
    with pytest.raises(expected, match="desk"):
        channel.call("guest-ping")
    assert not lock.locked()


def test_busy_agent_holds_a_caller_no_longer_than_its_timeout(
    guest: Guest, channel: LibvirtAgent, lock: threading.Lock
) -> None:
    begun = time.monotonic()
    with lock, pytest.raises(GuestUnreachable, match="desk"):
        channel.call("guest-ping", timeout=0.2)
    assert time.monotonic() - begun < 3  # of the 5 that are its default
    assert guest.requests == []
