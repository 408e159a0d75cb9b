"""A libvirt host as the core sees one (ports.Host)."""

from __future__ import annotations

import platform
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import libvirt

from openrdms.adapters.libvirt import (
    accelerator,
    connection,
    display,
    domain_xml,
    domains,
    embedded,
    errors,
    guest,
    leftovers,
    moves,
    rdp,
    sharing,
    storage,
)
from openrdms.adapters.libvirt.account import Account, let_pass, qemu_account
from openrdms.adapters.libvirt.agent import LibvirtAgent
from openrdms.adapters.libvirt.domains import Domains, check_ours
from openrdms.adapters.libvirt.gold import Gold
from openrdms.adapters.libvirt.places import Places
from openrdms.adapters.libvirt.reaper import reaper_of
from openrdms.adapters.libvirt.uri import HostUri, parse_uri
from openrdms.model.errors import (
    AlreadyExists,
    HostUnavailable,
    InvalidOperation,
    NotFound,
    NotSupported,
    OperationFailed,
)
from openrdms.model.host import (
    HostInfo,
    Leftover,
    Ownership,
    VmEvent,
    VmEventKind,
    VmInfo,
    VmSpec,
    VmState,
    VmSummary,
)
from openrdms.model.image import ImageVersion
from openrdms.ports import Guest, Host

_CAPACITY = 10_000
"""Definitions that libvirt lists and looks up without a noticeable wait."""

_STOPS, _DAEMON_STOPS = 32, 16
"""At once: libvirt looks every 0.2 s whether QEMU has ended; of its daemon's twenty workers
(libvirtd.conf) not all must be waiting for that.
"""

_REMOVALS, _FAR_REMOVALS = 2, 16
"""At once: libvirt on this machine is as quick as Python asks it, and more only fight for the
interpreter; answers from another machine are waited for.
"""

_EMULATOR = "qemu-system-x86_64"
_STREAM_CHUNK = 256 << 10


def connect(
    uri: str, state_dir: Path, runtime_dir: Path, check: Callable[[], None] = lambda: None
) -> LibvirtHost:
    """Open the host of that URI (see ``uri``), whose disks are made in ``state_dir``.

    ``runtime_dir`` is a short link to ``state_dir`` (runtime_dir.make_runtime_dir). A daemon on
    this machine must see both under the same paths. One elsewhere may be away; its disks are in
    the directory that it shares with this machine. ``check`` is asked right before what changes
    something there, and raises when this process may not. Raises InvalidParameter for the URI,
    HostUnavailable when libvirt does not open it or the directories cannot be made,
    OperationFailed when QEMU's account is missing or has no way to them.
    """
    parsed = parse_uri(uri, runtime_dir / "libvirt")
    account = qemu_account()
    if parsed.root:
        embedded.prepare(parsed.root, account)
    accept = partial(sharing.accept, parsed)
    link = connection.Link(parsed.libvirt, accept, later=bool(parsed.far))
    with errors.translated(parsed.libvirt):
        parsed = replace(parsed, name=parsed.name or link.get().getHostname())
    places = Places(state_dir.resolve(), runtime_dir, parsed.root, sharing.own_part(parsed))
    try:
        places.make(account)
        return LibvirtHost(parsed, link, places, account, check)
    except OSError as error:
        raise HostUnavailable(f"{parsed.name}: {error}") from error


class LibvirtHost:
    """ports.Host over one libvirt connection.

    ``slots`` is how many starts at once are worth while: QEMU's start is mostly CPU. ``stops`` and
    ``removals`` are the same for these.
    """

    slots = 8

    def __init__(
        self,
        uri: HostUri,
        link: connection.Link,
        places: Places,
        account: Account | None,
        check: Callable[[], None],
    ) -> None:
        self._uri = uri
        self._link = link
        self._places = places
        self._domain_type = uri.acceleration
        self._account = account
        self._reaper = reaper_of(_EMULATOR) if uri.root else None
        self._gold = Gold(uri.gold, uri.copy_rate) if uri.gold else None
        self._knows_qemu = False
        self._reachable: set[Path] = set()
        self._storage = storage.Storage(places.desktops, account)
        self._vms = Domains(uri.name, link, check)
        self._calling_agent: dict[str, threading.Lock] = {}
        self._name = uri.name
        self._site = moves.Site(uri.name, link, places, uri.far, uri.shared)
        self._events = link.watch(self._name)
        self.stops = _STOPS if uri.root else _DAEMON_STOPS
        self.removals = _FAR_REMOVALS if uri.far else _REMOVALS
        if uri.root:
            self._vms.drop_interrupted_saves()

    @property
    def name(self) -> str:
        """``name=`` of the URI, else libvirt's host name."""
        return self._name

    def describe(self) -> HostInfo:
        """See ports.Host. The memory is the machine's; used of it is what running VMs have."""
        memory_kib = used_kib = count = 0
        domain_type = system = ""
        with suppress(HostUnavailable), errors.translated(self._name):
            connection = self._link.get()
            memory_kib = connection.getMemoryStats(-1)["total"]
            running = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
            used_kib = sum(domains.memory_kib(domain) for domain in running)
            count = len(running) + connection.numOfDefinedDomains()
            domain_type, system = self._find_domain_type(), self._system(connection)
        return HostInfo(
            name=self._name,
            reachable=memory_kib > 0,
            accelerator=domain_type,
            capacity=_CAPACITY,
            free_bytes=self._storage.free_bytes(),
            os_version=system,
            memory_mib=memory_kib // 1024,
            used_mib=used_kib // 1024,
            vms=count,
        )

    def list_vms(self) -> list[VmInfo]:
        """See ports.Host."""
        return [vm for domain in self._vms.list_all() if (vm := self._vms.find_info(domain))]

    def page_vms(self, after: str, until: str | None, limit: int) -> list[VmSummary]:
        """See ports.Host."""
        with errors.translated(self._name):
            found = {one.name().casefold(): one for one in self._vms.list_all()}
        page: list[VmSummary] = []
        for key in sorted(found):
            inside = key > after and (until is None or key <= until)
            if inside and len(page) < limit and (vm := self._vms.find_info(found[key])):
                page.append(VmSummary(vm.name, vm.state, vm.maker))
        return page

    def find_vm(self, name: str) -> VmInfo | None:
        """See ports.Host."""
        domain = self._vms.find(name)
        return self._vms.find_info(domain) if domain else None

    def images(self) -> list[ImageVersion]:
        """None: images are files of ours, not the host's."""
        return []

    @property
    def tells_sessions(self) -> bool:
        """False: guests must be asked who is logged on."""
        return False

    def has_image(self, image: ImageVersion) -> bool:
        """See ports.Host; without a cache of its own the host sees the files of the library."""
        return self._gold is None or self._gold.has(image)

    def copy_image(
        self,
        image: ImageVersion,
        go_on: Callable[[], bool],
        progress: Callable[[float], None],
    ) -> None:
        """See ports.Host."""
        if self._gold:
            self._gold.copy(image, go_on, progress)
        else:
            progress(1.0)

    def drop_image(self, image: ImageVersion) -> None:
        """See ports.Host."""
        if self._gold:
            self._gold.drop(image)

    def create_disk(self, spec: VmSpec) -> None:
        """See ports.Host. Only what was seen before it was sure that this service may is deleted:
        what comes after that may be of one that has taken over.
        """
        spec = self._localise(spec)
        self._let_qemu_reach(spec.image)
        there = self._storage.has_disk(spec.name, spec.generation)
        if there and not self._storage.is_new(spec):
            self.delete_disk(spec.name, spec.generation)
        self._vms.check()
        self._storage.create_disk(spec)

    def delete_disk(self, vm: str, generation: int) -> None:
        """See ports.Host. InvalidOperation while the VM runs on it."""
        path = self._storage.disk_path(vm, generation)
        if self._vms.find_state(vm) is not VmState.STOPPED:
            info = self.find_vm(vm)
            if info and info.state is not VmState.STOPPED and str(path) in info.disks:
                raise InvalidOperation(f"{vm} is running on {path}")
        self._vms.check()
        self._storage.delete_disk(vm, generation)

    def delete_unused_disks(self, vm: str) -> None:
        """See ports.Host. Disks are compared by their names: a path has more than one form."""
        info = self.find_vm(vm)
        used = {Path(disk).name for disk in info.disks} if info else set()
        self._vms.check()
        for generation in self._storage.list_generations(vm):
            if self._storage.disk_path(vm, generation).name not in used:
                self._storage.delete_disk(vm, generation)

    def define(self, spec: VmSpec) -> None:
        """See ports.Host."""
        disk = self._storage.disk_path(spec.name, spec.generation)
        with self._vms.changed(spec.name):
            if not disk.exists():
                raise NotFound(f"{spec.name}: there is no disk {disk}")
            present = self.find_vm(spec.name)
            if present:
                _check_redefinable(present, spec)
                same = present.disks == (str(disk),)
                if present.state is VmState.SAVED and not same:
                    self._vms.forget_saved(spec.name)  # memory of one disk must not meet another
                elif present.state is not VmState.STOPPED:
                    _check_same_disk(present, disk)
                    return
            with errors.translated(spec.name), self._attended_once():
                domain_type = self._find_domain_type()
                wiring = self._places.wire(spec.name, disk, domain_type, self._uri.network)
                self._link.get().defineXML(domain_xml.render_domain(self._localise(spec), wiring))
                self._knows_qemu = True
            self._events.note_defined(spec.name)

    def undefine(self, vm: str, uuid: UUID | None = None) -> None:
        """See ports.Host. InvalidOperation for a VM that is not ours or was adopted."""
        with self._vms.changed(vm):
            domain = self._vms.find(vm)
            if domain and not domains.is_it(domain, uuid):
                return
            if domain:
                with errors.translated(vm):
                    domains.check_deletable(domain)
                    domains.undefine(domain)
            self._places.remove_files(domain.name() if domain else vm)

    def start(self, vm: str) -> None:
        """See ports.Host."""
        with self._vms.changed(vm), errors.translated(vm):
            domain = self._vms.get(vm)
            if not domain.isActive():
                with self._attended():
                    domains.start(domain)
                return
            if domains.state_of(domain) is VmState.PAUSED:
                domains.resume(domain)
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove()  # half of one: who saved it was killed

    def pause(self, vm: str) -> None:
        """See ports.Host."""
        with self._vms.held(vm) as (domain, state):
            if state in (VmState.STOPPED, VmState.SAVED):
                raise InvalidOperation(f"{vm} is {state.name.lower()} and cannot be paused")
            if state is not VmState.PAUSED:
                domain.suspend()

    def save(self, vm: str) -> None:
        """See ports.Host."""
        with self._vms.held(vm) as (domain, state):
            if state is VmState.STOPPED:
                raise InvalidOperation(f"{vm} is stopped and cannot be saved")
            if state is not VmState.SAVED:
                domain.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)

    def shut_down(self, vm: str, timeout: float) -> None:
        """See ports.Host."""
        domain = self._vms.get(vm)
        state = self._vms.find_state(vm)
        if state is VmState.SAVED:
            raise InvalidOperation(f"{vm} is saved: it must be started first")
        off = threading.Event()

        def on_event(event: VmEvent) -> None:
            if event.kind is VmEventKind.STOPPED and event.vm.casefold() == vm.casefold():
                off.set()

        self._vms.check()
        end = self.subscribe(on_event)
        try:
            with errors.translated(vm):
                if state is VmState.PAUSED:
                    domains.stop(domain, lambda: domains.resume(domain))
                domains.stop(domain, domain.shutdown)
                running = domains.is_active(domain)
            if running and not off.wait(timeout):
                raise OperationFailed(f"{vm} did not shut down within {timeout:g} s")
        finally:
            end()

    def destroy(self, vm: str, uuid: UUID | None = None) -> None:
        """See ports.Host. InvalidOperation for a VM that is not ours."""
        domain = self._vms.find(vm)
        if domain and not domains.is_it(domain, uuid):
            return
        info = self._vms.find_info(domain) if domain else None
        if domain and info:
            check_ours(info)
            self._vms.check()
            with errors.translated(vm):
                domains.stop(domain, domain.destroy)
            with self._vms.changed(vm):
                self._vms.forget_saved(vm)

    def abort_start(self, vm: str, uuid: UUID) -> None:
        """See ports.Host. libvirt's start fails when its QEMU is killed meanwhile."""
        domain = self._vms.find(vm)
        if domain and domains.is_it(domain, uuid):
            self._vms.check()
            with errors.translated(vm):
                domains.stop(domain, domain.destroy)

    def is_shared_with(self, other: Host) -> bool:
        """See ports.Host: those with the same ``shared`` in their URIs."""
        return isinstance(other, LibvirtHost) and self._site.is_shared_with(other._site)

    def migrate(self, vm: str, uuid: UUID, target: Host) -> None:
        """See ports.Host."""
        if not isinstance(target, LibvirtHost) or not self.is_shared_with(target):
            raise NotSupported(f"{self._name} and {target.name} share no disks")
        with self._both_changed(target, vm), errors.translated(vm):
            info = self.find_vm(vm)
            if info and info.uuid == uuid:
                check_ours(info)
            moves.migrate(self._site, target._site, vm, uuid)
            target._events.note_defined(vm)

    def settle_move(self, vm: str, uuid: UUID, target: Host) -> bool:
        """See ports.Host."""
        if not isinstance(target, LibvirtHost):
            raise NotSupported(f"{target.name} is no libvirt host")
        with self._both_changed(target, vm), errors.translated(vm):
            return moves.settle(self._site, target._site, vm, uuid)

    @contextmanager
    def _both_changed(self, other: LibvirtHost, vm: str) -> Iterator[None]:
        """In the order of names: two may want to move it in both directions."""
        first, second = sorted((self, other), key=lambda host: host.name)
        with first._vms.changed(vm), second._vms.changed(vm):
            yield

    def set_ownership(self, vm: str, ownership: Ownership | None) -> None:
        """See ports.Host."""
        with self._vms.changed(vm), errors.translated(vm):
            domain = self._vms.get(vm)
            flags = libvirt.VIR_DOMAIN_AFFECT_CURRENT
            if domain.isActive():
                flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
            if domain.isPersistent():
                flags |= libvirt.VIR_DOMAIN_AFFECT_CONFIG
            domain.setMetadata(
                libvirt.VIR_DOMAIN_METADATA_ELEMENT,
                domain_xml.render_ownership(ownership) if ownership else None,
                domain_xml.PREFIX,
                domain_xml.NAMESPACE,
                flags,
            )

    def export_disk(self, vm: str, target: Path) -> int:
        """See ports.Host."""
        domain = self._vms.get(vm)
        with errors.translated(vm):
            if domain.isActive() or domain.hasManagedSaveImage():
                raise InvalidOperation(f"{vm} is not off: its disk may lack what is in its memory")
            disk = domain_xml.parse_system_disk(domain.XMLDesc())
        if disk is None:
            raise NotSupported(f"{vm} has its disk neither in a file nor on a device")
        return storage.export(*disk, target)

    def screenshot(self, vm: str) -> bytes:
        """See ports.Host."""
        with errors.translated(vm):
            stream = self._link.get().newStream()
            kind = self._vms.get(vm).screenshot(stream, 0)
            picture = b"".join(iter(lambda: stream.recv(_STREAM_CHUNK), b""))
            stream.finish()
        if kind != "image/png":
            raise OperationFailed(f"{vm}: the host gives screenshots as {kind}, not PNG")
        return picture

    def open_display(self, vm: str) -> socket.socket:
        """See ports.Host."""
        with errors.translated(vm):
            return display.open_display(self._vms.get(vm))

    def rdp_address(self, vm: str) -> tuple[str, int]:
        """See ports.Host."""
        with self._vms.changed(vm), errors.translated(vm):
            return rdp.find_address(self._vms.get(vm), here=self._uri.root is not None)

    def guest(self, vm: str) -> Guest:
        """See ports.Host."""
        lock = self._calling_agent.setdefault(vm.casefold(), threading.Lock())
        channel = LibvirtAgent(vm, self._vms.get, lock)
        return guest.open_guest(channel, lambda: self._vms.find_state(vm), self._vms.check)

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Callable[[], None]:
        """See ports.Host."""
        return self._events.subscribe(callback)

    def list_leftovers(self) -> list[Leftover]:
        """See ports.Host."""
        return [
            Leftover(kind, self._name, name, vm)
            for kind, name, vm in (
                *self._our_domains(),
                *self._our_disks(),
                *self._places.list_files(),
                *self._our_processes(),
            )
        ]

    def close(self) -> None:
        """See ports.Host."""
        self._events.close()
        with errors.translated(self._name):
            self._link.close()

    def _our_domains(self) -> Iterator[tuple[str, str, str]]:
        for vm in self.list_vms():
            if vm.ownership and not vm.ownership.adopted:
                yield "vm", vm.name, vm.name
                for snapshot in self._snapshots(vm.name):
                    yield "snapshot", snapshot, vm.name

    def _snapshots(self, vm: str) -> list[str]:
        try:
            with errors.translated(vm):
                return [snapshot.getName() for snapshot in self._vms.get(vm).listAllSnapshots()]
        except NotFound:
            return []

    def _our_disks(self) -> Iterator[tuple[str, str, str]]:
        for path, vm, _ in self._storage.list_disks():
            yield "disk", str(path), vm

    def _our_processes(self) -> Iterator[tuple[str, str, str]]:
        for pid, vm in leftovers.find_processes(self._places.markers):
            yield "process", str(pid), vm

    def _find_domain_type(self) -> str:
        """libvirt's: as it was named, else what this machine, or a host elsewhere, can do."""
        if self._domain_type == "auto" and self._uri.far:
            self._domain_type = accelerator.ask_libvirt(self._link.get())
        elif self._domain_type == "auto":
            self._domain_type = accelerator.find_accelerator(self._places.accelerator_cache)
        return self._domain_type

    def _system(self, opened: libvirt.virConnect) -> str:
        """What a host elsewhere runs below libvirt, it does not tell."""
        if not self._uri.far:
            return platform.freedesktop_os_release()["PRETTY_NAME"]
        major, rest = divmod(opened.getLibVersion(), 1_000_000)
        return f"libvirt {major}.{rest // 1000}.{rest % 1000}"

    def _localise(self, spec: VmSpec) -> VmSpec:
        """With the image's files as this host has them; a PrepJob's copy is no image yet."""
        if self._gold is None or not spec.network:
            return spec
        return replace(spec, image=self._gold.localise(spec.image))

    def _let_qemu_reach(self, image: ImageVersion) -> None:
        """Once for each image: directories above it are not ours to watch."""
        if self._account and image.disk not in self._reachable:
            for file in filter(None, (image.disk, image.kernel, image.initrd)):
                let_pass(self._account, file)
            self._reachable.add(image.disk)

    def _attended_once(self) -> AbstractContextManager[None]:
        """Around a definition: before the first one libvirt asks QEMU what it can do."""
        return nullcontext() if self._knows_qemu else self._attended()

    def _attended(self) -> AbstractContextManager[None]:
        """Around calls in which libvirt may start a QEMU."""
        return self._reaper.attended() if self._reaper else nullcontext()


def _check_redefinable(vm: VmInfo, spec: VmSpec) -> None:
    if vm.ownership is None or vm.ownership.adopted or vm.uuid != spec.uuid:
        raise AlreadyExists(f"{vm.name} is the name of another VM on {vm.host}")


def _check_same_disk(vm: VmInfo, disk: Path) -> None:
    if vm.disks != (str(disk),):
        raise InvalidOperation(f"{vm.name} is running and keeps its disk until it is off")
