from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from openrdms.adapters.libvirt.domain_xml import (
    Wiring,
    parse_system_disk,
    parse_vm,
    render_domain,
    render_ownership,
)
from openrdms.adapters.libvirt.uri import Network
from openrdms.model.host import DiskKind, Ownership, VmSpec, VmState
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageVersion

IMAGE = ImageVersion(
    name="win",
    version=3,
    disk=Path("/images/win/3/disk.qcow2"),
    virtual_bytes=1 << 35,
    sha256="",
    os=GuestOs.LINUX,
    firmware=Firmware.BIOS,
    memory_mib=2048,
    vcpus=2,
    disk_bus=DiskBus.VIRTIO,
    created=datetime(2026, 1, 1, tzinfo=UTC),
    kernel=Path("/images/win/3/vmlinuz"),
    initrd=Path("/images/win/3/initrd"),
    cmdline="root=/dev/vda <quiet>",
)
SPEC = VmSpec(
    name="desk-1",
    uuid=UUID(int=7),
    mac="52:54:00:00:00:07",
    image=IMAGE,
    disk_kind=DiskKind.LINKED,
    generation=2,
    ownership=Ownership("Pool", "{1}", "win@3"),
)
WIRING = Wiring(
    accelerator="qemu",
    network=Network(),
    disk=Path("/state/desktops/desk-1.2.qcow2"),
    nvram=Path("/state/nvram/desk-1.fd"),
    vnc_socket=Path("/run/vnc/desk-1"),
    agent_socket=Path("/run/agent/desk-1"),
)

# what an XML 1.0 document can hold
characters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="￾￿")
texts = st.text(characters)


def render(wiring: Wiring = WIRING, network: bool = True, **image: object) -> etree._Element:
    spec = replace(SPEC, image=replace(IMAGE, **image), network=network)
    return etree.fromstring(render_domain(spec, wiring))


def as_libvirt_says_it(domain: etree._Element) -> str:
    """libvirt gives memory in KiB, whatever it was told."""
    memory = domain.find("memory")
    memory.text = str(int(memory.text) * 1024)
    memory.set("unit", "KiB")
    return etree.tostring(domain, encoding="unicode")


@given(
    firmware=st.sampled_from(Firmware),
    disk_bus=st.sampled_from(DiskBus),
    os=st.sampled_from(GuestOs),
    ownership=st.builds(Ownership, texts, texts, texts, st.booleans()),
)
def test_what_is_rendered_is_read_back(
    firmware: Firmware, disk_bus: DiskBus, os: GuestOs, ownership: Ownership
) -> None:
    image = replace(IMAGE, firmware=firmware, disk_bus=disk_bus, os=os)
    spec = replace(SPEC, image=image, ownership=ownership)
    xml = as_libvirt_says_it(etree.fromstring(render_domain(spec, WIRING)))
    vm = parse_vm(xml, "host", VmState.STOPPED)
    assert (vm.name, vm.uuid, vm.disks) == (SPEC.name, SPEC.uuid, (str(WIRING.disk),))
    assert (vm.memory_mib, vm.vcpus) == (IMAGE.memory_mib, IMAGE.vcpus)
    assert (vm.firmware, vm.disk_bus, vm.os) == (firmware, disk_bus, os)
    assert vm.ownership == ownership


def test_kernel_is_handed_over() -> None:
    os = render(firmware=Firmware.KERNEL).find("os")
    assert [os.findtext(name) for name in ("kernel", "initrd", "cmdline")] == [
        str(IMAGE.kernel),
        str(IMAGE.initrd),
        IMAGE.cmdline,
    ]


@pytest.mark.parametrize(
    ("bus", "machine", "card", "video"),
    [
        (DiskBus.VIRTIO, "q35", "virtio", "virtio"),
        (DiskBus.SATA, "q35", "e1000e", "vga"),
        (DiskBus.IDE, "pc", "e1000e", "vga"),
    ],
)
def test_devices_fit_the_drivers_of_the_guest(
    bus: DiskBus, machine: str, card: str, video: str
) -> None:
    domain = render(disk_bus=bus)
    assert domain.find("os/type").get("machine") == machine
    assert domain.find("devices/disk/target").get("bus") == bus
    assert domain.find("devices/interface/model").get("type") == card
    assert domain.find("devices/video/model").get("type") == video


@pytest.mark.parametrize(
    ("network", "kind", "source"),
    [
        (Network(), "user", None),
        (Network("bridge", "br0"), "bridge", {"bridge": "br0"}),
        (Network("network", "lan"), "network", {"network": "lan"}),
    ],
)
def test_network_of_the_host(network: Network, kind: str, source: dict[str, str] | None) -> None:
    interface = render(replace(WIRING, network=network)).find("devices/interface")
    found = interface.find("source")
    assert interface.get("type") == kind
    assert (None if found is None else dict(found.attrib)) == source
    assert interface.find("mac").get("address") == SPEC.mac


def test_no_viewer_shuts_the_others_out() -> None:
    graphics = render().find("devices/graphics")
    assert (graphics.get("type"), graphics.get("sharePolicy")) == ("vnc", "force-shared")


def test_copy_that_is_generalised_has_no_network() -> None:
    assert render(network=False).find("devices/interface") is None


@pytest.mark.parametrize(("accelerator", "cpu"), [("kvm", "host-passthrough"), ("qemu", "maximum")])
def test_processor_is_the_accelerators_best(accelerator: str, cpu: str) -> None:
    domain = render(replace(WIRING, accelerator=accelerator))
    assert domain.get("type") == accelerator
    assert domain.find("cpu").get("mode") == cpu


def test_hyperv_features_are_for_windows_on_kvm() -> None:
    kvm = replace(WIRING, accelerator="kvm")
    assert render(kvm, os=GuestOs.WINDOWS).find("features/hyperv") is not None
    assert render(kvm).find("features/hyperv") is None
    assert render(os=GuestOs.WINDOWS).find("features/hyperv") is None


def test_system_disk_has_its_format() -> None:
    assert parse_system_disk(render_domain(SPEC, WIRING)) == (WIRING.disk, "qcow2")


@pytest.mark.parametrize("disk", ["", "<disk device='disk'><source name='x'/></disk>"])
def test_system_disk_may_be_out_of_reach(disk: str) -> None:
    assert parse_system_disk(f"<domain><devices>{disk}</devices></domain>") is None


def test_ownership_for_libvirt_has_no_namespace_yet() -> None:
    element = etree.fromstring(render_ownership(replace(SPEC.ownership, adopted=True)))
    assert element.tag == "desktop"
    assert element.get("adopted") == "yes"


@pytest.mark.parametrize(
    ("inner", "firmware"),
    [("<os firmware='efi'/>", Firmware.UEFI), ("<os/>", Firmware.BIOS)],
)
def test_strangers_are_read_too(inner: str, firmware: Firmware) -> None:
    xml = f"""<domain><name>old</name><uuid>{UUID(int=9)}</uuid><memory unit='KiB'>65536</memory>
    <vcpu>1</vcpu>{inner}<features><hyperv mode='custom'/></features><devices>
    <disk type='file' device='cdrom'><source file='/x.iso'/><target bus='sata'/></disk>
    <disk type='block' device='disk'><source dev='/dev/vg/old'/><target bus='scsi'/></disk>
    <disk type='network' device='disk'><source name='x'/><target bus='virtio'/></disk>
    </devices></domain>"""
    assert parse_system_disk(xml) == (Path("/dev/vg/old"), "raw")
    vm = parse_vm(xml, "h", VmState.RUNNING)
    assert vm.ownership is None
    assert vm.disks == ("/dev/vg/old",)
    assert (vm.firmware, vm.disk_bus, vm.os) == (firmware, DiskBus.VIRTIO, GuestOs.WINDOWS)
