"""``ports.Guest`` through the standard QEMU guest agent: which driver a guest gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from openrdms.adapters.libvirt.agent import AgentChannel
from openrdms.adapters.libvirt.guest_exec import Deadline, GuestCommands
from openrdms.adapters.libvirt.guest_linux import LinuxGuest
from openrdms.adapters.libvirt.guest_windows import WindowsGuest
from openrdms.model.errors import OperationFailed, VmNotRunning
from openrdms.model.host import (
    CommandResult,
    GuestIdentity,
    GuestSession,
    InstalledApplication,
    VmState,
)
from openrdms.ports import Guest


class _Driver(Protocol):
    """``ports.Guest`` for one operating system, with a deadline for the whole call."""

    def list_sessions(self, deadline: Deadline) -> list[GuestSession]: ...
    def send_message(
        self, session: GuestSession, title: str, text: str, deadline: Deadline
    ) -> None: ...
    def disconnect(self, session: GuestSession, deadline: Deadline) -> None: ...
    def log_off(self, session: GuestSession, deadline: Deadline) -> None: ...
    def read_clipboard(self, session: GuestSession, deadline: Deadline) -> str: ...
    def write_clipboard(self, session: GuestSession, text: str, deadline: Deadline) -> None: ...
    def list_applications(self, deadline: Deadline) -> list[InstalledApplication]: ...
    def set_identity(self, identity: GuestIdentity, deadline: Deadline) -> None: ...
    def run_command(self, command: str, deadline: Deadline) -> CommandResult: ...
    def logon_mark(self, deadline: Deadline) -> str: ...
    def generalise(self, deadline: Deadline) -> None: ...


@contextmanager
def _distrust() -> Iterator[None]:
    """Around all that reads a guest's words: what they break is that guest's failure alone.

    Whoever rules in a guest rules its agent, which may answer anything.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise OperationFailed(f"the guest's agent answered nonsense: {error!r}") from error


class AgentGuest:
    """Implements ``ports.Guest``. The driver is chosen by guest-get-osinfo at the first use.

    ``check`` raises when this process may not change anything; it is asked before what does.
    """

    def __init__(
        self, channel: AgentChannel, state: Callable[[], VmState], check: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._state = state
        self._check = check
        self._driver: _Driver | None = None

    @_distrust()
    def ping(self, timeout: float) -> None:
        """See ``ports.Guest``."""
        self._require_running()
        self._channel.call("guest-ping", timeout=timeout)

    @_distrust()
    def list_sessions(self, timeout: float) -> list[GuestSession]:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        return self._choose(deadline).list_sessions(deadline)

    @_distrust()
    def send_message(self, session: GuestSession, title: str, text: str, timeout: float) -> None:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        self._choose(deadline).send_message(session, title, text, deadline)

    @_distrust()
    def disconnect(self, session: GuestSession, timeout: float) -> None:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        self._choose_to_change(deadline).disconnect(session, deadline)

    @_distrust()
    def log_off(self, session: GuestSession, timeout: float) -> None:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        self._choose_to_change(deadline).log_off(session, deadline)

    @_distrust()
    def read_clipboard(self, session: GuestSession, timeout: float) -> str:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        return self._choose(deadline).read_clipboard(session, deadline)

    @_distrust()
    def write_clipboard(self, session: GuestSession, text: str, timeout: float) -> None:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        self._choose(deadline).write_clipboard(session, text, deadline)

    @_distrust()
    def list_applications(self, timeout: float) -> list[InstalledApplication]:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        return self._choose(deadline).list_applications(deadline)

    @_distrust()
    def set_identity(self, identity: GuestIdentity, timeout: float) -> None:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        self._choose_to_change(deadline).set_identity(identity, deadline)

    @_distrust()
    def run_command(self, command: str, timeout: float) -> CommandResult:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        return self._choose_to_change(deadline).run_command(command, deadline)

    @_distrust()
    def logon_mark(self, timeout: float) -> str:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        return self._choose(deadline).logon_mark(deadline)

    @_distrust()
    def generalise(self, timeout: float) -> None:
        """See ``ports.Guest``."""
        deadline = Deadline(timeout)
        self._choose_to_change(deadline).generalise(deadline)

    def _choose(self, deadline: Deadline) -> _Driver:
        self._require_running()
        if self._driver is None:
            commands = GuestCommands(self._channel)
            self._driver = (
                WindowsGuest(commands, self._state)
                if commands.identify(deadline) == "mswindows"
                else LinuxGuest(commands)
            )
        return self._driver

    def _choose_to_change(self, deadline: Deadline) -> _Driver:
        driver = self._choose(deadline)
        self._check()
        return driver

    def _require_running(self) -> None:
        if self._state() is not VmState.RUNNING:
            raise VmNotRunning("the VM is not running")


def open_guest(
    channel: AgentChannel, state: Callable[[], VmState], check: Callable[[], None]
) -> Guest:
    """A handle on the guest behind ``channel``; nothing is contacted yet."""
    return AgentGuest(channel, state, check)
