"""Commands to the QEMU guest agent of one VM (QEMU Guest Agent Protocol Reference)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import libvirt
import libvirt_qemu

from openrdms.adapters.libvirt import errors
from openrdms.model.errors import GuestUnreachable

_SLACK_SECONDS = 0.1
"""What getting here takes of a whole number of seconds without costing the last one."""


class AgentChannel(Protocol):
    """The agent of one VM."""

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        """Run one agent command and give its ``return`` value.

        ``timeout`` is in seconds and rounded down to whole ones, at least 1; an agent that falls
        silent right after it was found alive can make it twice that. Raises
        GuestUnreachable when the agent does not answer in time, VmNotRunning when the VM is off
        or gone, OperationFailed with the agent's words when it refuses the command.
        """


class LibvirtAgent:
    """AgentChannel over libvirt, which serialises the agent calls of one VM.

    ``find_domain`` looks the VM up anew at each call, because it may be another one by then.
    ``lock`` belongs to the VM and is shared by all its channels: waiting for it here, no longer
    than the caller's time-out, keeps one silent guest from holding callers for libvirt's own
    30 s.
    """

    def __init__(
        self, vm: str, find_domain: Callable[[str], libvirt.virDomain], lock: threading.Lock
    ) -> None:
        self._vm = vm
        self._find_domain = find_domain
        self._lock = lock

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        """See AgentChannel."""
        request: dict[str, Any] = {"execute": command}
        if arguments is not None:
            request["arguments"] = arguments
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=timeout):
            raise GuestUnreachable(f"{self._vm}: the guest agent is busy")
        try:
            seconds = max(1, int(deadline - time.monotonic() + _SLACK_SECONDS))
            return json.loads(self._send(json.dumps(request), seconds))["return"]
        finally:
            self._lock.release()

    def _send(self, request: str, seconds: int) -> str:
        with errors.agent_translated(self._vm):
            domain = self._find_domain(self._vm)
            domain.agentSetResponseTimeout(seconds)  # else libvirt waits 5 s before it sends it
            reply: str = libvirt_qemu.qemuAgentCommand(domain, request, seconds, 0)
            return reply
