"""Hypervisor hosts, the guests on them, and servers elsewhere."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from uuid import UUID

from openrdms.model.host import (
    CommandResult,
    GuestIdentity,
    GuestSession,
    HostInfo,
    InstalledApplication,
    Leftover,
    Ownership,
    VmEvent,
    VmInfo,
    VmSpec,
    VmSummary,
)
from openrdms.model.image import ImageVersion


class Guest(Protocol):
    """The operating system inside one running VM, reached through its guest agent alone.

    ``timeout`` is in seconds and bounds the whole call. Raises GuestUnreachable when the agent
    does not answer in time, VmNotRunning when the VM is off.
    """

    def ping(self, timeout: float) -> None:
        """Return when the agent answers."""

    def list_sessions(self, timeout: float) -> list[GuestSession]:
        """User sessions, greeters and services left out."""

    def send_message(self, session: GuestSession, title: str, text: str, timeout: float) -> None:
        """Show a message in that session; returns when it was seen to be shown.

        Raises SessionGone, SessionDenied or OperationFailed (no way to show it there).
        """

    def disconnect(self, session: GuestSession, timeout: float) -> None:
        """Disconnect the session and leave it running; returns when it was seen to be so."""

    def log_off(self, session: GuestSession, timeout: float) -> None:
        """End the session; returns when it is gone."""

    def read_clipboard(self, session: GuestSession, timeout: float) -> str:
        """The text on that session's clipboard, "" for none. SessionGone; NotSupported."""

    def write_clipboard(self, session: GuestSession, text: str, timeout: float) -> None:
        """Put text on that session's clipboard. SessionGone; NotSupported where it has none."""

    def list_applications(self, timeout: float) -> list[InstalledApplication]:
        """What is installed for all users and can be started, without what menus hide."""

    def set_identity(self, identity: GuestIdentity, timeout: float) -> None:
        """Give the guest its own hostname, machine-id and MAC; repeatable."""

    def run_command(self, command: str, timeout: float) -> CommandResult:
        """Run a command line by the guest's own shell, as its administrator.

        GuestUnreachable too when it has not ended in time.
        """

    def logon_mark(self, timeout: float) -> str:
        """A text that changes whenever somebody logs on, and when the guest boots."""

    def generalise(self, timeout: float) -> None:
        """Remove what must not be cloned (machine-id, host keys, logs; sysprep on Windows)."""


class Host(Protocol):
    """One hypervisor host. ``name`` is compared ignoring case, short or full."""

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int:
        """How many clones and starts at once are worth while; more only wait."""

    @property
    def stops(self) -> int:
        """The same for stops, each with the removal of what was stopped."""

    @property
    def removals(self) -> int:
        """The same for removals of definitions and disks of what is off."""

    def describe(self) -> HostInfo:
        """Facts about the host; never raises HostUnavailable (``reachable`` says it)."""

    def list_vms(self) -> list[VmInfo]:
        """All VMs, strangers' too."""

    def page_vms(self, after: str, until: str | None, limit: int) -> list[VmSummary]:
        """The first ``limit`` VMs in order of case-folded name, strangers' too.

        Only of those whose case-folded name is above ``after`` and not above ``until``.
        """

    def find_vm(self, name: str) -> VmInfo | None:
        """The VM of that name (ignoring case) or None."""

    def images(self) -> list[ImageVersion]:
        """Images the host brings with it (the simulator's ``tiny``); most have none."""

    @property
    def tells_sessions(self) -> bool:
        """Whether it tells of log-ons and log-offs by itself; else guests must be asked."""

    def has_image(self, image: ImageVersion) -> bool:
        """Whether disks over that image can be made here now; always where it sees ours."""

    def copy_image(
        self,
        image: ImageVersion,
        go_on: Callable[[], bool],
        progress: Callable[[float], None],
    ) -> None:
        """Bring the image here, from where an earlier attempt left off; whole is fine.

        ``go_on`` is asked after every piece: False ends it with InvalidOperation, and leaves
        what is here for the next attempt. ``progress`` gets the share that is here, 0 to 1.
        OperationFailed when the copy's checksum is not the image's, which removes it.
        """

    def drop_image(self, image: ImageVersion) -> None:
        """Remove what ``copy_image`` brought here, whole or not; nothing is fine."""

    def create_disk(self, spec: VmSpec) -> None:
        """Make the disk of that generation: overlay or full copy of ``spec.image``.

        Repeatable: a disk that is there, whole and as new, stays. One that was ever booted from, is
        of another image or half made is left over and replaced; InvalidOperation while the VM has
        it in use, running or saved. Raises OutOfSpace before writing.
        """

    def delete_disk(self, vm: str, generation: int) -> None:
        """Remove that generation's disk, whole or half made; absent is fine."""

    def delete_unused_disks(self, vm: str) -> None:
        """Remove the VM's disks of all generations, whole or half made, but for what it is defined
        over; nothing is fine, and so is no VM.
        """

    def define(self, spec: VmSpec) -> None:
        """Define the VM over its disk; on a VM already defined (Patch) the disk is exchanged.

        Same uuid and MAC always. The VM must be off; a saved one loses its saved state with its
        disk. Never touches a VM without our metadata. NotFound when the disk is not there, whole.
        """

    def undefine(self, vm: str, uuid: UUID | None = None) -> None:
        """Remove the definition and what hangs on it (NVRAM, sockets). The VM must be off.

        With ``uuid`` another VM of that name is left alone. InvalidOperation for a VM that is not
        ours or was adopted.
        """

    def start(self, vm: str) -> None:
        """Let it run: boot it, resume it when paused, restore it when saved; running is fine."""

    def pause(self, vm: str) -> None:
        """Stop its processors and keep its memory; paused is fine.

        InvalidOperation when it is off or saved, or not ours.
        """

    def save(self, vm: str) -> None:
        """Write its memory to disk and stop it; ``start`` goes on from there. Saved is fine.

        InvalidOperation when it is off or not ours.
        """

    def shut_down(self, vm: str, timeout: float) -> None:
        """Ask the guest, resumed if need be, to shut down and wait for it; off is fine.

        OperationFailed on time-out; InvalidOperation when it is saved.
        """

    def destroy(self, vm: str, uuid: UUID | None = None) -> None:
        """Stop it at once and drop its saved state; off or absent is fine.

        With ``uuid`` another VM of that name is left alone. InvalidOperation for a VM that is not
        ours.
        """

    def abort_start(self, vm: str, uuid: UUID) -> None:
        """Have a start of that VM that is under way fail now, where the host can end one; else that
        goes on. One that has just ended may have been for nothing: the VM is stopped or runs, and
        ``destroy`` comes next in any case. Off or absent is fine.
        """

    def is_shared_with(self, other: Host) -> bool:
        """Whether VMs can move between the two: they see the same disks. Not with itself."""

    def migrate(self, vm: str, uuid: UUID, target: Host) -> None:
        """Let it go on at ``target`` as it is, running, paused or off; there already is fine.

        What it leaves here goes. NotSupported where disks are not shared; InvalidOperation when
        it is saved, or not ours; NotFound when it is at neither; whatever else fails leaves it
        where ``settle_move`` finds it.
        """

    def settle_move(self, vm: str, uuid: UUID, target: Host) -> bool:
        """Leave a VM whose move was interrupted at one of the two, as it was before.

        Repeatable. True when it is at ``target``, False when it is here, or at neither.
        """

    def set_ownership(self, vm: str, ownership: Ownership | None) -> None:
        """Write or remove our metadata (adoption); the rest of the definition stays."""

    def export_disk(self, vm: str, target: Path) -> int:
        """Copy the disk of a stopped VM, flattened, to a new qcow2 file; returns virtual bytes."""

    def screenshot(self, vm: str) -> bytes:
        """The guest's screen as PNG."""

    def open_display(self, vm: str) -> socket.socket:
        """A stream of RFB (RFC 6143) without authentication: what the screen shows, and what is
        typed. The VM can have several; each ends with it. VmNotRunning, NotSupported.
        """

    def rdp_address(self, vm: str) -> tuple[str, int]:
        """Where this machine reaches the guest's RDP, whether or not it listens there.

        VmNotRunning; NotSupported and GuestUnreachable say why there is no such place.
        """

    def guest(self, vm: str) -> Guest:
        """A handle; nothing is contacted yet."""

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Callable[[], None]:
        """Call ``callback`` from some thread on every event; returns how to end it."""

    def list_leftovers(self) -> list[Leftover]:
        """Every VM, disk, snapshot, saved state, NVRAM file, socket and QEMU process of ours."""

    def close(self) -> None:
        """Let go of the host; VMs keep running."""


class NodeProbe(Protocol):
    """Looks whether a machine is there that is to join the deployment."""

    def require_answer(self, fqdn: str) -> None:
        """HostUnavailable says what was tried and what each attempt came to."""
