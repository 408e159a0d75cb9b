"""What the Windows driver asks of a guest; the commands themselves need a live Windows."""

from __future__ import annotations

import base64
from typing import Any

from openrdms.adapters.libvirt.guest_exec import Deadline, GuestCommands
from openrdms.adapters.libvirt.guest_windows import WindowsGuest
from openrdms.model.host import CommandResult, VmState

COMMAND = 'echo "a b" & exit 3'


class Answering:
    """An agent whose commands end with 3 and these words; keeps what was started."""

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        if command == "guest-exec":
            self.started.append(arguments or {})
            return {"pid": 1}
        words = {"out-data": b"out\r\n", "err-data": b"err\r\n"}
        encoded = {name: base64.b64encode(text).decode() for name, text in words.items()}
        return {"exited": True, "exitcode": 3, **encoded}


def test_command_is_handed_over_unquoted_and_both_streams_come_back() -> None:
    agent = Answering()
    guest = WindowsGuest(GuestCommands(agent), lambda: VmState.RUNNING)
    assert guest.run_command(COMMAND, Deadline(5)) == CommandResult(3, "out\nerr")
    (started,) = agent.started
    assert base64.b64decode(started["input-data"]).decode() == COMMAND
    assert not any("a b" in argument for argument in started["arg"])


def test_mark_is_what_the_guest_prints() -> None:
    class Marking(Answering):
        def call(self, *given: Any, **named: Any) -> Any:
            return {**super().call(*given, **named), "exitcode": 0}

    guest = WindowsGuest(GuestCommands(Marking()), lambda: VmState.RUNNING)
    assert guest.logon_mark(Deadline(5)) == "out"
