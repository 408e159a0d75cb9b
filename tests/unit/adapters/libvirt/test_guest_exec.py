"""Commands in guests, against an agent that keeps to the guest agent's protocol."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

import pytest

from openrdms.adapters.libvirt.guest import open_guest
from openrdms.adapters.libvirt.guest_exec import Deadline, GuestCommands
from openrdms.model.errors import Fenced, GuestUnreachable, OperationFailed, VmNotRunning
from openrdms.model.host import GuestIdentity, GuestSession, VmState
from openrdms.ports import Guest


def always() -> None:
    """This process may change what it wants."""


class FakeAgent:
    """An agent whose one command takes ``polls`` looks to end."""

    def __init__(self, polls: int = 0, code: int = 0, out: bytes = b"") -> None:
        self.started: dict[str, Any] = {}
        self.polls = polls
        self.status = {"exited": True, "exitcode": code, "out-data": base64.b64encode(out)}

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        assert timeout > 0
        if command == "guest-exec":
            self.started = arguments or {}
            return {"pid": 7}
        assert (command, arguments) == ("guest-exec-status", {"pid": 7})
        self.polls -= 1
        return self.status if self.polls < 0 else {"exited": False}


def test_arguments_and_input_go_as_they_are() -> None:
    agent = FakeAgent()
    hostile = 'it\'s $(id); `x` | & \\n "quoted" 你好'
    GuestCommands(agent).run(["/bin/echo", hostile], Deadline(1), stdin=hostile, env={"A": "b"})
    assert agent.started["arg"] == [hostile]
    assert base64.b64decode(agent.started["input-data"]).decode() == hostile
    assert agent.started["env"] == ["A=b"]


def test_waits_for_the_end_and_gives_what_was_printed() -> None:
    output = GuestCommands(FakeAgent(polls=3, out="Grüße".encode())).run(["x"], Deadline(2))
    assert (output.code, output.text) == (0, "Grüße")


def test_command_that_does_not_end_is_given_up_in_time() -> None:
    with pytest.raises(GuestUnreachable):
        GuestCommands(FakeAgent(polls=10_000)).run(["x"], Deadline(0.1))


def test_failed_command_tells_its_words() -> None:
    output = GuestCommands(FakeAgent(code=1, out=b"no such session\n")).run(["x"], Deadline(1))
    with pytest.raises(OperationFailed, match="log off: no such session"):
        output.check("log off")


def test_words_of_a_command_that_writes_utf16_have_no_nul() -> None:
    failing = FakeAgent(code=3, out="Zugriff".encode("utf-16-le"))
    end = GuestCommands(failing).run(["x"], Deadline(1))
    assert end.result.output == "Zugriff"
    with pytest.raises(OperationFailed, match=r"failed to look: Zugriff$"):
        end.check("look")


class DrowsyAgent(FakeAgent):
    """Does not answer the first time, after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.asleep = True

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        if self.asleep:
            self.asleep = False
            time.sleep(self.seconds)
            raise GuestUnreachable("not available")
        return super().call(command, arguments, timeout)


def test_busy_guest_is_asked_again_but_nothing_is_done_twice() -> None:
    assert GuestCommands(DrowsyAgent(0.6)).run(["x"], Deadline(5), repeatable=True).code == 0
    with pytest.raises(GuestUnreachable, match="not available"):
        GuestCommands(DrowsyAgent(0.6)).run(["x"], Deadline(5))


def test_guest_that_is_not_connected_is_not_asked_again() -> None:
    with pytest.raises(GuestUnreachable, match="not available"):
        GuestCommands(DrowsyAgent(0)).run(["x"], Deadline(5), repeatable=True)


def test_guest_of_a_vm_that_is_off_is_not_asked() -> None:
    guest = open_guest(FakeAgent(), lambda: VmState.STOPPED, always)
    with pytest.raises(VmNotRunning):
        guest.ping(1)
    with pytest.raises(VmNotRunning):
        guest.list_sessions(1)


ANONYMOUS = base64.b64encode(b"boot\nClass=user\nTTY=tty1\nState=active\n").decode()


class LyingAgent:
    """Answers a command as told, the rest as an agent should."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {
            "guest_get_osinfo": {"id": "debian"},
            "guest_exec": {"pid": 7},
            "guest_exec_status": {"exited": True, "exitcode": 0},
        } | answers

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        return self.answers[command.replace("-", "_")]


@pytest.mark.parametrize(
    "answers",
    [
        {"guest_get_osinfo": ["debian"]},
        {"guest_exec": None},
        {"guest_exec": {}},
        {"guest_exec": {"pid": "seven"}},
        {"guest_exec_status": {}},
        {"guest_exec_status": {"exited": True, "out-data": "A"}},
        {"guest_exec_status": {"exited": True, "out-data": 1}},
        {"guest_exec_status": {"exited": True, "exitcode": 0, "out-data": ANONYMOUS}},
    ],
)
def test_nonsense_of_a_guest_is_its_own_failure(answers: dict[str, Any]) -> None:
    guest = open_guest(LyingAgent(**answers), lambda: VmState.RUNNING, always)
    with pytest.raises(OperationFailed, match="nonsense"):
        guest.list_sessions(1)


class KnownAgent(FakeAgent):
    """Tells its system, too."""

    def call(
        self, command: str, arguments: dict[str, Any] | None = None, timeout: float = 5.0
    ) -> Any:
        if command == "guest-get-osinfo":
            return {"id": "debian"}
        return super().call(command, arguments, timeout)


SOMEBODY = GuestSession("1", "1", "alice", "", 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda guest: guest.set_identity(GuestIdentity("a", "b", "c"), 1),
        lambda guest: guest.run_command("true", 1),
        lambda guest: guest.log_off(SOMEBODY, 1),
        lambda guest: guest.disconnect(SOMEBODY, 1),
        lambda guest: guest.generalise(1),
    ],
)
def test_who_may_change_nothing_changes_no_guest(change: Callable[[Guest], object]) -> None:
    agent = KnownAgent()

    def refuse() -> None:
        raise Fenced

    with pytest.raises(Fenced):
        change(open_guest(agent, lambda: VmState.RUNNING, refuse))
    assert agent.started == {}
