"""VMs that go from one host to another while they run, where both see the same directory.

Each host has its own part of the directory. A move links the VM's files into the target's part,
lets libvirt migrate it there under these names, and removes the source's: so at any moment what is
in the part of a host is what belongs to its VMs, and a disk is never without a name.

We lead the migration over our two connections (libvirt.org/migration.html, "managed direct"), so
hosts need no way to each other's libvirtd, only to the port that the target's QEMU listens on.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import libvirt
from lxml import etree

from openrdms.adapters.libvirt import domains
from openrdms.adapters.libvirt.connection import Link
from openrdms.adapters.libvirt.places import Places
from openrdms.adapters.libvirt.storage import make_durable, translated
from openrdms.model.errors import AlreadyExists, InvalidOperation, NotFound, NotSupported

_FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    | libvirt.VIR_MIGRATE_ABORT_ON_ERROR
    | libvirt.VIR_MIGRATE_AUTO_CONVERGE
    # libvirt knows cluster file systems only; that this one is shared was proven by a file, and
    # our disks go past the cache
    | libvirt.VIR_MIGRATE_UNSAFE
)
_KEEPING = (
    libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
)
_READABLE = libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE


@dataclass(frozen=True)
class Site:
    """A host as one end of a move. ``far`` is its address as we know it, "" on this machine;
    ``shared`` the directory that others see too, None without one.
    """

    name: str
    link: Link
    places: Places
    far: str
    shared: Path | None

    def find(self, vm: str, uuid: UUID) -> libvirt.virDomain | None:
        """That very VM, not another of its name."""
        domain = self.link.find_domain(vm)
        return domain if domain and domain.UUID() == uuid.bytes else None

    def is_shared_with(self, other: Site) -> bool:
        """Whether they see the same files, each in a part of its own."""
        return self.shared is not None and self.shared == other.shared and self.name != other.name


def migrate(source: Site, target: Site, vm: str, uuid: UUID) -> None:
    """See ports.Host. libvirtError when it goes on at the source."""
    domain = source.find(vm, uuid)
    if domain is None:
        if target.find(vm, uuid) is None:
            raise NotFound(f"neither {source.name} nor {target.name} has a VM called {vm}")
        return
    if target.link.find_domain(vm):
        raise AlreadyExists(f"{target.name} has another VM called {vm}")
    if domain.hasManagedSaveImage():
        raise InvalidOperation(f"{vm} is saved: it must be started first")
    for here, there in _files(domain, source.places, target.places):
        _link(here, there)
    if domain.isActive():
        domain.migrate3(target.link.get(), _parameters(domain, source, target), _FLAGS)
    else:
        inactive = domain.XMLDesc(_READABLE | libvirt.VIR_DOMAIN_XML_INACTIVE)
        target.link.get().defineXML(_as_there(inactive, source.places, target.places))
        domain.undefineFlags(_KEEPING)
    _unlink_twins(vm, source.places, target.places)


def settle(source: Site, target: Site, vm: str, uuid: UUID) -> bool:
    """See ports.Host: what runs at the target is the one, else what is at the source.

    One may go while it is looked at: libvirt ends the migration of whoever led it and was killed.
    """
    while True:
        try:
            return _settle(source, target, vm, uuid)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                raise


def _settle(source: Site, target: Site, vm: str, uuid: UUID) -> bool:
    here, there = source.find(vm, uuid), target.find(vm, uuid)
    if here and there:
        arrived = there.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        _drop(here if arrived else there)
        here, there = (None, there) if arrived else (here, None)
    if there:
        _unlink_twins(vm, source.places, target.places)
    elif here:
        _let_go(here)
        _unlink_twins(vm, target.places, source.places)
    return there is not None


def _drop(domain: libvirt.virDomain) -> None:
    """One of two ends; its files stay. One that only came into being to arrive goes by itself.
    libvirtError while it runs on: two may not.
    """
    domains.stop(domain, domain.destroy)
    with suppress(libvirt.libvirtError):
        domain.undefineFlags(_KEEPING)


def _let_go(domain: libvirt.virDomain) -> None:
    """Whoever led its migration was killed: libvirt may have left it paused, or still sends it."""
    with suppress(libvirt.libvirtError):
        domain.abortJob()
    state, reason = domain.state()
    if state == libvirt.VIR_DOMAIN_PAUSED and reason in (
        libvirt.VIR_DOMAIN_PAUSED_MIGRATION,
        libvirt.VIR_DOMAIN_PAUSED_UNKNOWN,
    ):
        domain.resume()


def _parameters(domain: libvirt.virDomain, source: Site, target: Site) -> dict[str, str]:
    running = domain.XMLDesc(_READABLE)
    inactive = domain.XMLDesc(_READABLE | libvirt.VIR_DOMAIN_XML_INACTIVE)
    values = {
        libvirt.VIR_MIGRATE_PARAM_DEST_XML: _as_there(running, source.places, target.places),
        libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: _as_there(inactive, source.places, target.places),
    }
    if target.far:  # its own name for itself may mean nothing elsewhere
        host = f"[{target.far}]" if ":" in target.far else target.far
        values[libvirt.VIR_MIGRATE_PARAM_URI] = f"tcp://{host}"
    return values


def _as_there(xml: str, source: Places, target: Places) -> str:
    """The definition with the names that its files have at the target."""
    domain = etree.fromstring(xml.encode())
    for disk in domain.iterfind("devices/disk/source[@file]"):
        disk.set("file", str(_moved(Path(disk.get("file", "")), source, target)))
    for nvram in domain.iterfind("os/nvram"):
        nvram.text = str(_moved(Path(nvram.text or ""), source, target))
    return str(etree.tostring(domain, encoding="unicode"))


def _moved(file: Path, source: Places, target: Places) -> Path:
    """What is in the source's part of the directory is in the target's then."""
    if source.shared and target.shared and file.is_relative_to(source.shared):
        return target.shared / file.relative_to(source.shared)
    return file


def _files(
    domain: libvirt.virDomain, source: Places, target: Places
) -> Iterator[tuple[Path, Path]]:
    """Disks and variables of the firmware, here and there. NotSupported for those elsewhere."""
    description = etree.fromstring(domain.XMLDesc().encode())
    named = [disk.get("file", "") for disk in description.iterfind("devices/disk/source")]
    named += [nvram.text or "" for nvram in description.iterfind("os/nvram")]
    for file in map(Path, named):
        there = _moved(file, source, target)
        if there == file:
            raise NotSupported(f"{domain.name()} has a disk outside {source.shared}: {file}")
        if file.exists():  # variables come with the first start
            yield file, there


def _link(here: Path, there: Path) -> None:
    with translated(there):
        if there.exists() and not there.samefile(here):
            there.unlink()  # of a VM that nobody has any more: there is none of that name
        if not there.exists():
            os.link(here, there)
            make_durable(there.parent)


def _unlink_twins(vm: str, lost: Places, kept: Places) -> None:
    """Remove the names of the VM's files in one part that are in the other as well."""
    if not lost.shared or not kept.shared:
        return
    for file in (*lost.desktops.glob(f"{glob.escape(vm)}.*.qcow2"), lost.nvram_path(vm)):
        twin = _moved(file, lost, kept)
        with translated(file):
            if file.exists() and twin.exists() and twin.samefile(file):
                file.unlink()
                make_durable(file.parent)
