"""A job that makes desktops and leaves them off on one libvirt host, durable records included,
beside the bare calls it cannot avoid: overlay and definition, by eight threads.

usage: python -m benchmarks.libvirt_create [--desktops N]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import libvirt

from benchmarks.measured import Measured
from live.service import Service, rdms
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.adapters.libvirt.connection import open_connection
from openrdms.adapters.libvirt.domain_xml import render_domain
from openrdms.adapters.libvirt.host import LibvirtHost, connect
from openrdms.adapters.libvirt.places import Places
from openrdms.adapters.libvirt.storage import write_overlay
from openrdms.adapters.libvirt.uri import Network
from openrdms.model.collection import CollectionState
from openrdms.model.host import DiskKind, Ownership, VmSpec
from openrdms.model.image import ImageVersion
from openrdms.runtime_dir import make_runtime_dir

SECONDS_BAR = 10.0
RATIO_BAR = 3.0
URI = "qemu:///embed?accel=qemu"
THREADS = 8

Item = TypeVar("Item")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--desktops", type=int, default=1000)
    count = parser.parse_args().desktops
    print(f"load before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        overlays, definitions = measure_floor(Path(directory) / "floor", count)
        floor = overlays + definitions
        print(
            f"floor, {count} desktops, {THREADS} threads: {floor:.2f} s"
            f" (overlays {overlays:.2f} s, definitions {definitions:.2f} s)"
        )
        with open_service(Path(directory) / "state") as service:
            measured = Measured(service, Path(directory))
            measured.finish(measured.begin_create("warm", 1, start=False))  # as the floor was
            made = measured.finish(measured.begin_create("bench", count, start=False))
            assert made.state is CollectionState.JOB_COMPLETED, service.read_log()
            removed = measured.finish(measured.begin_delete("bench"))
            assert service.read_rows("SELECT name FROM desktops") == [("warm-1",)]
            orphans = service.find_orphans()
    met = made.wall <= SECONDS_BAR * count / 1000 and made.wall <= RATIO_BAR * floor
    print(
        f"job, {count} desktops made and left off: {made.wall:.2f} s, {made.wall / floor:.2f} x"
        f" the floor, processor {made.cpu:.2f} s; bar {SECONDS_BAR:g} s per thousand"
        f" and {RATIO_BAR:g} x: {'met' if met else 'MISSED'}"
    )
    print(f"job that removes them: {removed.wall:.2f} s; left over: {len(orphans)}")


def measure_floor(directory: Path, count: int) -> tuple[float, float]:
    """Seconds for so many overlays and so many definitions, by libvirt's own calls."""
    with _made_bare(directory, count) as bare:
        return bare.seconds


@dataclass(frozen=True)
class Removal:
    """Seconds that removing definitions and overlays takes by libvirt's own calls, and by those of
    its adapter, which look first whose they are and take leftovers along; by these for ``running``
    desktops, too. By as many threads as all that is bare has here, or two; running ones by as many
    as a job begins with.
    """

    libvirt: float
    adapter: float
    adapter_by_two: float
    running: float


def measure_removal(directory: Path, count: int, running: int) -> Removal:
    """Of so many that are off, and so many that are ``running``."""

    def remove(disk: Path) -> None:
        bare.link.lookupByName(_vm_of(disk)).undefine()
        disk.unlink()

    def remove_by_adapter(vm: str) -> None:
        bare.host.undefine(vm)
        bare.host.delete_disk(vm, 1)

    def start(vm: VmSpec) -> None:
        bare.host.create_disk(vm)
        bare.host.define(vm)
        bare.host.start(vm.name)

    def stop_and_remove(vm: VmSpec) -> None:
        bare.host.destroy(vm.name)
        remove_by_adapter(vm.name)

    with _made_bare(directory, 3 * count) as bare:
        names = [_vm_of(disk) for disk in bare.disks]
        vms = [_spec(bare.image, number) for number in range(running)]
        os.sync()  # disks of desktops are durable, which makes it longer to remove them
        by_libvirt = _time(remove, bare.disks[:count])
        by_adapter = _time(remove_by_adapter, names[count : 2 * count])
        by_two = _time(remove_by_adapter, names[2 * count :], threads=2)
        _time(start, vms)
        stopped = _time(stop_and_remove, vms, threads=bare.host.stops)
        return Removal(by_libvirt, by_adapter, by_two, stopped)


def _vm_of(disk: Path) -> str:
    return disk.name.removesuffix(".1.qcow2")


@dataclass(frozen=True)
class Bare:
    """Overlays and definitions over an image, and the seconds that each of both took."""

    link: libvirt.virConnect
    host: LibvirtHost
    image: ImageVersion
    disks: list[Path]
    seconds: tuple[float, float]


@contextmanager
def _made_bare(directory: Path, count: int) -> Iterator[Bare]:
    """So many of them."""
    directory.mkdir(mode=0o711)
    directory.parent.chmod(0o711)
    image = DebianImageTools().build("tiny", directory, lambda _share, _words: None)
    runtime = make_runtime_dir(directory)
    host = connect(URI, directory, runtime)
    places = Places(directory, runtime, runtime / "libvirt")
    specs = [_spec(image, number) for number in range(count)]
    disks = [places.desktops / f"{spec.name}.1.qcow2" for spec in specs]
    texts = [
        render_domain(spec, places.wire(spec.name, disk, "qemu", Network()))
        for spec, disk in zip(specs, disks, strict=True)
    ]
    warm = _spec(image, count)
    host.create_disk(warm)
    host.define(warm)  # libvirt asks QEMU what it can do, once
    link = open_connection(f"qemu:///embed?root={runtime}/libvirt")
    seconds = (
        _time(lambda disk: write_overlay(disk, image), disks),
        _time(link.defineXML, texts),
    )
    yield Bare(link, host, image, disks, seconds)
    link.close()
    host.close()


def _time(call: Callable[[Item], object], items: Sequence[Item], threads: int = THREADS) -> float:
    begun = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(call, items))
    return time.monotonic() - begun


def _spec(image: ImageVersion, number: int) -> VmSpec:
    mac = f"52:54:00:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    owner = Ownership("Bench", "", image.reference)
    return VmSpec(f"bench-{number:05}", uuid4(), mac, image, DiskKind.LINKED, 1, owner)


@contextmanager
def open_service(state_dir: Path) -> Iterator[Service]:
    service = Service(state_dir, URI)
    try:
        service.start()
        rdms("image", "build", "tiny", "--variant", "tiny", "--state-dir", state_dir)
        yield service
    finally:
        service.clear()


if __name__ == "__main__":
    main()
