"""Commands inside a guest: guest-exec and guest-exec-status of the QEMU guest agent.

Arguments and standard input go as they are; nothing of a caller is ever part of a shell string.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from openrdms.adapters.libvirt.agent import AgentChannel
from openrdms.model.errors import GuestUnreachable, OperationFailed
from openrdms.model.host import CommandResult

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.25
_MOST_OUTPUT = 1 << 20
_MOST_TOLD = 4000
_AT_ONCE = 0.5
"""Seconds that a call to an agent which is connected, but does not answer, takes at least."""


class Deadline:
    """The end of a call that is made of several steps."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left. GuestUnreachable when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise GuestUnreachable("the guest did not do it in time")
        return left

    def pause(self, seconds: float) -> None:
        """Sleep, but not past the end."""
        time.sleep(min(seconds, self.left()))


@dataclass(frozen=True)
class Output:
    """What a command that ended left. ``code`` is its exit code, or minus its signal."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        """Standard output."""
        return self.out.decode("utf-8", "replace")

    @property
    def result(self) -> CommandResult:
        """Its end: code, and the last of both streams."""
        both = b"\n".join(filter(None, (self.out.rstrip(), self.err.rstrip())))
        return CommandResult(self.code, _words(both)[-_MOST_TOLD:])

    def check(self, what: str) -> Output:
        """Itself. OperationFailed, with the command's own words, unless it returned 0."""
        if self.code != 0:
            words = _words(self.err or self.out).strip()
            raise OperationFailed(f"the guest failed to {what}: {words or f'code {self.code}'}")
        return self


def _words(octets: bytes) -> str:
    """To be shown and put on record: without NULs, which records cannot have, and of which some
    commands of Windows, that write UTF-16, have one with each letter.
    """
    return octets.decode("utf-8", "replace").replace("\0", "")


class GuestCommands:
    """Starts commands in one guest and waits for them."""

    def __init__(self, channel: AgentChannel) -> None:
        self._channel = channel

    def run(
        self,
        argv: Sequence[str],
        deadline: Deadline,
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        repeatable: bool = False,
    ) -> Output:
        """Run to the end. OperationFailed when it cannot be started, GuestUnreachable in time.

        Only what is ``repeatable`` is started again when it is unknown whether it was started.
        """
        process = self.start(argv, deadline, stdin=stdin, env=env, repeatable=repeatable)
        pause = _FIRST_PAUSE
        while (output := self.poll(process, deadline)) is None:
            deadline.pause(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return output

    def start(
        self,
        argv: Sequence[str],
        deadline: Deadline,
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        repeatable: bool = False,
    ) -> int:
        """Start and return the guest's process id. With ``env``, it has only those variables."""
        request: dict[str, Any] = {
            "path": argv[0],
            "arg": list(argv[1:]),
            "capture-output": True,
        }
        if stdin:
            request["input-data"] = base64.b64encode(stdin.encode()).decode()
        if env is not None:
            request["env"] = [f"{name}={value}" for name, value in env.items()]
        call = self._insist if repeatable else self._call
        return int(call("guest-exec", request, deadline)["pid"])

    def poll(self, process: int, deadline: Deadline) -> Output | None:
        """What it left, None while it runs. An end is told once: the agent forgets it then."""
        status = self._insist("guest-exec-status", {"pid": process}, deadline)
        if not status["exited"]:
            return None
        code = status.get("exitcode", -status.get("signal", 1))
        return Output(code, _decode(status, "out-data"), _decode(status, "err-data"))

    def identify(self, deadline: Deadline) -> str:
        """The ``id`` of guest-get-osinfo: a distribution's, or ``mswindows``."""
        return str(self._insist("guest-get-osinfo", {}, deadline).get("id", ""))

    def list_users(self, deadline: Deadline) -> Any:
        """The answer to guest-get-users; empty from an agent that is too old or may not tell."""
        try:
            return self._insist("guest-get-users", {}, deadline)
        except OperationFailed:
            return []

    def _call(self, command: str, arguments: dict[str, Any], deadline: Deadline) -> Any:
        return self._channel.call(command, arguments, deadline.left())

    def _insist(self, command: str, arguments: dict[str, Any], deadline: Deadline) -> Any:
        """Ask a busy guest until the deadline: libvirt itself waits 5 s for its agent to wake.

        One that fails at once is not connected, and it is no use to ask it again.
        """
        while True:
            begun = time.monotonic()
            try:
                return self._call(command, arguments, deadline)
            except GuestUnreachable:
                if time.monotonic() - begun < _AT_ONCE:
                    raise


def _decode(status: dict[str, Any], name: str) -> bytes:
    return base64.b64decode(status.get(name, ""))[:_MOST_OUTPUT]
