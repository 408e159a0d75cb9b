"""What the core knows of hypervisor hosts and the VMs on them. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import NamedTuple
from uuid import UUID

from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion


class VmState(IntEnum):
    """Run state in the Hyper-V v2 numbering that RDMS clients read (facts c.5)."""

    UNKNOWN = 0
    RUNNING = 2
    STOPPED = 3
    SAVED = 6
    PAUSED = 32768


LIVE = frozenset({VmState.RUNNING, VmState.PAUSED})
"""A VM that has its memory: somebody may be at work in it. What was saved goes with the disk."""


class DiskKind(StrEnum):
    """VhdType of the job document: a copy-on-write overlay or an independent copy."""

    LINKED = "DiffDisk"
    FULL = "Clone"


@dataclass(frozen=True)
class Ownership:
    """Our metadata inside a VM's definition. A VM without it is a stranger's."""

    collection: str
    job: str
    image: str
    adopted: bool = False


@dataclass(frozen=True)
class VmSpec:
    """Everything needed to make one desktop, decided when its job was planned.

    ``generation`` counts the disks a desktop has had: a Patch makes generation n+1 beside n,
    so that either can be kept. Two calls with equal specs mean the same VM and disk.
    ``network`` is False for the copy that a PrepJob generalises.
    """

    name: str
    uuid: UUID
    mac: str
    image: ImageVersion
    disk_kind: DiskKind
    generation: int
    ownership: Ownership
    network: bool = True


@dataclass(frozen=True)
class VmInfo:
    """A VM as its host reports it. ``disks`` are the host's names (paths) of its disk files.

    ``firmware``, ``disk_bus`` and ``os`` say how a copy of its disk would have to be run, as far
    as its definition tells.
    """

    name: str
    host: str
    uuid: UUID
    state: VmState
    memory_mib: int
    vcpus: int
    disks: tuple[str, ...] = ()
    ownership: Ownership | None = None
    firmware: Firmware = Firmware.BIOS
    disk_bus: DiskBus = DiskBus.VIRTIO
    os: GuestOs = GuestOs.LINUX

    def is_over(self, generation: int) -> bool:
        """Whether it is over the disk of that generation, as all hosts name them."""
        return any(disk.endswith(f"{self.name}.{generation}.qcow2") for disk in self.disks)

    @property
    def maker(self) -> str:
        """The collection for which a job of ours made it, "" for all others."""
        return self.ownership.collection if self.ownership and not self.ownership.adopted else ""


class VmSummary(NamedTuple):
    """What a list of many VMs shows of one.

    ``maker`` is the collection for which a job of ours made it, "" for all others.
    """

    name: str
    state: VmState
    maker: str


@dataclass(frozen=True)
class HostInfo:
    """A hypervisor host. ``free_bytes`` is room where disks are made; ``reachable`` is now.

    ``capacity`` is how many VMs it may have, ``vms`` how many it has, strangers' too.
    ``memory_mib`` is what all running guests may use together (0: it does not tell), ``used_mib``
    what those that run are using of it.
    """

    name: str
    reachable: bool
    accelerator: str
    capacity: int
    free_bytes: int
    os_version: str
    memory_mib: int = 0
    used_mib: int = 0
    vms: int = 0


@dataclass(frozen=True)
class HostSettings:
    """What an administrator has set for a host; None is "as the service sees fit".

    ``concurrency`` is how many desktops are made on it at a time, 1 to 100; ``idle_count`` how
    many that nobody uses are kept running (Set-RDVirtualDesktopConcurrency, -IdleCount).
    ``drain``: it is being emptied, and gets no desktops.
    """

    concurrency: int | None = None
    idle_count: int | None = None
    drain: bool = False


@dataclass(frozen=True)
class CommandResult:
    """What a command in a guest came to. ``output`` is the end of what it wrote, both streams."""

    status: int
    output: str


class VmEventKind(StrEnum):
    """What a host tells about a VM without being asked. LOGGED_ON and LOGGED_OFF only hosts
    tell whose guests tell them (``Host.tells_sessions``).
    """

    STARTED = "started"
    STOPPED = "stopped"
    AGENT_CONNECTED = "agent_connected"
    AGENT_DISCONNECTED = "agent_disconnected"
    LOGGED_ON = "logged_on"
    LOGGED_OFF = "logged_off"


@dataclass(frozen=True)
class VmEvent:
    """One lifecycle event."""

    kind: VmEventKind
    host: str
    vm: str


@dataclass(frozen=True)
class Leftover:
    """A thing of ours found on a host.

    ``kind`` is vm, disk, snapshot, saved, nvram, socket or process; ``vm`` is the VM it belongs
    to by its name or metadata, "" when that cannot be told.
    """

    kind: str
    host: str
    name: str
    vm: str


@dataclass(frozen=True)
class GuestIdentity:
    """What makes a clone its own machine. ``machine_id`` is 32 hex digits, from the VM's UUID."""

    hostname: str
    machine_id: str
    mac: str


@dataclass(frozen=True)
class GuestSession:
    """A user session inside a guest.

    ``guest_id`` is the guest's own id ("3", "c1"); ``key`` never repeats in the life of the VM
    (it includes the boot or logon time), so that a reused guest_id is told apart.
    ``state`` is the ConnectState of facts c.5: 0 active, 1 connected, 4 disconnected, 5 idle.
    ``since`` is when its user logged on, in UTC by the guest's clock; ``idle`` for how long nobody
    has touched it. Both are None when the guest does not tell.
    """

    guest_id: str
    key: str
    user: str
    domain: str
    state: int
    client: str = ""
    since: datetime | None = None
    idle: timedelta | None = field(default=None, compare=False)
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """DOMAIN\\USER, or USER from a guest that tells no domain."""
        return f"{self.domain}\\{self.user}" if self.domain else self.user


@dataclass(frozen=True)
class InstalledApplication:
    """An application that a guest's menu shows.

    ``path`` is its program's full path in the guest, ``arguments`` the rest of its command line
    without files to open; ``icon`` is a file, or a name in the guest's icon themes, "" for none.
    """

    name: str
    path: str
    arguments: str = ""
    icon: str = ""
