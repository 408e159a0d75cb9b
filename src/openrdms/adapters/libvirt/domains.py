"""What a domain is doing, and how it is made to stop or go on, whatever happens to it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import libvirt

from openrdms.model.host import VmState

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: VmState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: VmState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: VmState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: VmState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: VmState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTOFF: VmState.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: VmState.STOPPED,
}


def stop(domain: libvirt.virDomain, how: Callable[[], object]) -> None:
    """Stop a VM in that way; one that is off, ends by itself meanwhile or is gone is fine."""
    try:
        if is_active(domain):
            how()
    except libvirt.libvirtError:
        if is_active(domain):
            raise


def resume(domain: libvirt.virDomain) -> None:
    """Let a paused VM run on, whether it was paused or put itself to sleep."""
    try:
        if domain.state()[0] == libvirt.VIR_DOMAIN_PMSUSPENDED:
            domain.pMWakeup()
        else:
            domain.resume()
    except libvirt.libvirtError:  # libvirt itself resumes what it finds half saved
        if state_of(domain) is not VmState.RUNNING:
            raise


def is_it(domain: libvirt.virDomain, uuid: UUID | None) -> bool:
    """Whether the VM of that name is the one that is meant; the handle knows without a call."""
    return uuid is None or domain.UUID() == uuid.bytes


def memory_kib(domain: libvirt.virDomain) -> int:
    """What it may use; nothing when it has gone since it was found."""
    try:
        return int(domain.maxMemory())
    except libvirt.libvirtError:
        return 0


def is_active(domain: libvirt.virDomain) -> bool:
    """False also when the VM is no longer defined."""
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return False
        raise


def state_of(domain: libvirt.virDomain) -> VmState:
    state = _STATES.get(domain.state()[0], VmState.UNKNOWN)
    saved = state is VmState.STOPPED and domain.hasManagedSaveImage()
    return VmState.SAVED if saved else state
