"""Domains: found by their names, held while they change; what one is doing, and how it is made to
stop or go on, whatever happens to it meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

import libvirt

from openrdms.adapters.libvirt import domain_xml, errors
from openrdms.adapters.libvirt.connection import Link
from openrdms.model.errors import InvalidOperation, NotFound
from openrdms.model.host import VmInfo, VmState

_STATES = {
    libvirt.VIR_DOMAIN_RUNNING: VmState.RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: VmState.RUNNING,
    libvirt.VIR_DOMAIN_SHUTDOWN: VmState.RUNNING,
    libvirt.VIR_DOMAIN_PAUSED: VmState.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: VmState.PAUSED,
    libvirt.VIR_DOMAIN_SHUTOFF: VmState.STOPPED,
    libvirt.VIR_DOMAIN_CRASHED: VmState.STOPPED,
}

_UNDEFINE = (
    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
)


class Domains:
    """Those of one host. Errors of libvirt come as ``errors.translated`` has them.

    Changes of one VM take that VM's lock, so that looking and changing are one.
    """

    def __init__(self, host: str, link: Link, check: Callable[[], None]) -> None:
        """``check`` raises when this process may not change anything; it is asked last of all."""
        self.check = check
        self._host = host
        self._link = link
        self._changing: dict[str, threading.Lock] = {}

    def list_all(self, flags: int = 0) -> list[libvirt.virDomain]:
        """In no order; ``flags`` are VIR_CONNECT_LIST_DOMAINS_."""
        with errors.translated(self._host):
            found: list[libvirt.virDomain] = self._link.get().listAllDomains(flags)
        return found

    def find(self, name: str) -> libvirt.virDomain | None:
        """The VM of that name, ignoring case."""
        return self._link.find_domain(name)

    def get(self, name: str) -> libvirt.virDomain:
        """As ``find``. NotFound."""
        domain = self.find(name)
        if domain is None:
            raise NotFound(f"{self._host} has no VM called {name}")
        return domain

    def find_info(self, domain: libvirt.virDomain) -> VmInfo | None:
        """None when the VM has gone since it was found."""
        try:
            with errors.translated(domain.name()):
                return domain_xml.parse_vm(domain.XMLDesc(), self._host, state_of(domain))
        except NotFound:
            return None

    def find_state(self, name: str) -> VmState:
        """STOPPED also when there is no such VM."""
        domain = self.find(name)
        with errors.translated(name):
            return state_of(domain) if domain else VmState.STOPPED

    @contextmanager
    def changed(self, name: str) -> Iterator[None]:
        """Nobody else changes it meanwhile."""
        with self._changing.setdefault(name.casefold(), threading.Lock()):
            self.check()
            yield

    @contextmanager
    def held(self, name: str) -> Iterator[tuple[libvirt.virDomain, VmState]]:
        """A VM of ours that nobody else changes, and its state. NotFound, InvalidOperation."""
        with self.changed(name), errors.translated(name):
            domain = self.get(name)
            info = self.find_info(domain)
            if info is None:
                raise NotFound(f"{self._host} has no VM called {name}")
            check_ours(info)
            yield domain, info.state

    def forget_saved(self, name: str) -> None:
        """Drop the saved state of a VM that is off, if it has one."""
        with errors.translated(name):
            domain = self.find(name)
            if domain and state_of(domain) is VmState.SAVED:
                domain.managedSaveRemove()

    def drop_interrupted_saves(self) -> None:
        """Of VMs that run on although somebody was saving them, who was killed with this libvirt.

        Their disks change from now on: such an image, even a whole one, must never be restored.
        """
        flags = (
            libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE | libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE
        )
        with errors.translated(self._host):
            for domain in self.list_all(flags):
                info = self.find_info(domain)
                if info and info.ownership and is_active(domain):
                    with suppress(libvirt.libvirtError):  # it has just gone; no reason to stay away
                        domain.managedSaveRemove()


def check_ours(vm: VmInfo) -> None:
    """InvalidOperation for one of somebody else."""
    if vm.ownership is None:
        raise InvalidOperation(f"{vm.name} is not a VM of this service")


def start(domain: libvirt.virDomain) -> None:
    """Start a VM that is off; one that somebody else starts meanwhile is fine: a service that has
    died since may have asked for it.
    """
    try:
        domain.create()
    except libvirt.libvirtError:
        if not is_active(domain):
            raise


def stop(domain: libvirt.virDomain, how: Callable[[], object]) -> None:
    """Stop a VM in that way; one that is off, ends by itself meanwhile or is gone is fine."""
    try:
        if is_active(domain):
            how()
    except libvirt.libvirtError:
        if is_active(domain):
            raise


def check_deletable(domain: libvirt.virDomain) -> None:
    """InvalidOperation for a VM that is not ours, was adopted or runs; one that is gone is fine.

    The whole description would take as long to read as the definition takes to remove.
    """
    try:
        element = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, domain_xml.NAMESPACE)
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            raise InvalidOperation(f"{domain.name()} is not a VM of this service") from error
        if code != libvirt.VIR_ERR_NO_DOMAIN:
            raise
        return
    if domain_xml.parse_ownership(element).adopted:
        raise InvalidOperation(f"{domain.name()} was adopted and is never deleted")
    if is_active(domain):
        raise InvalidOperation(f"{domain.name()} is running")


def undefine(domain: libvirt.virDomain) -> None:
    """Take back its definition with all that libvirt keeps beside; who was quicker is fine."""
    try:
        domain.undefineFlags(_UNDEFINE)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
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
    """SAVED is what is off and has its memory on disk."""
    state = _STATES.get(domain.state()[0], VmState.UNKNOWN)
    saved = state is VmState.STOPPED and domain.hasManagedSaveImage()
    return VmState.SAVED if saved else state
