"""libvirt domain definitions, rendered from and read back as our values.

Element names and values: libvirt.org/formatdomain.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from lxml import etree

from openrdms.adapters.libvirt.uri import Network
from openrdms.model.host import Ownership, VmInfo, VmSpec, VmState
from openrdms.model.image import DiskBus, Firmware, GuestOs

NAMESPACE = "urn:openrdms:domain"
PREFIX = "openrdms"
AGENT_CHANNEL = "org.qemu.guest_agent.0"
OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"

_DISK_NAME = {DiskBus.VIRTIO: "vda", DiskBus.SATA: "sda", DiskBus.IDE: "hda"}


@dataclass(frozen=True)
class Wiring:
    """What a definition needs beside its VmSpec: files and sockets of the VM, and host choices.

    ``accelerator`` is libvirt's domain type, kvm or qemu. Sockets that are None libvirt makes where
    it likes, each host its own. ``movable``: it may have to go on at another host.
    """

    accelerator: str
    network: Network
    disk: Path
    nvram: Path
    vnc_socket: Path | None
    agent_socket: Path | None
    movable: bool = False


def render_domain(spec: VmSpec, wiring: Wiring) -> str:
    """The definition of that desktop."""
    domain = _tag(
        "domain",
        _tag("name", spec.name),
        _tag("uuid", str(spec.uuid)),
        _tag("metadata", _ownership(spec.ownership)),
        _tag("memory", str(spec.image.memory_mib), unit="MiB"),
        _tag("vcpu", str(spec.image.vcpus)),
        _os(spec, wiring),
        _features(spec, wiring),
        _tag("cpu", mode=_cpu_mode(wiring)),
        _tag("clock", offset="localtime" if spec.image.os is GuestOs.WINDOWS else "utc"),
        _tag("on_reboot", "restart"),
        _tag("on_crash", "destroy"),
        _devices(spec, wiring),
        type=wiring.accelerator,
    )
    return _text(domain)


def _cpu_mode(wiring: Wiring) -> str:
    """host-model names a model that other processors of its kind have as well."""
    if wiring.accelerator != "kvm":
        return "maximum"
    return "host-model" if wiring.movable else "host-passthrough"


def render_ownership(ownership: Ownership) -> str:
    """The element for virDomainSetMetadata, which adds the namespace itself."""
    return _text(etree.Element("desktop", _ownership_attributes(ownership)))


def parse_vm(xml: str, host: str, state: VmState) -> VmInfo:
    """A VM from libvirt's own description, which gives memory in KiB."""
    domain = etree.fromstring(xml.encode())
    sources = domain.findall("devices/disk[@device='disk']/source")
    return VmInfo(
        name=domain.findtext("name", ""),
        host=host,
        uuid=UUID(domain.findtext("uuid")),
        state=state,
        memory_mib=int(domain.findtext("memory", "0")) // 1024,
        vcpus=int(domain.findtext("vcpu", "0")),
        disks=tuple(path for s in sources if (path := s.get("file") or s.get("dev"))),
        ownership=_parse_ownership(domain.find(f"metadata/{{{NAMESPACE}}}desktop")),
        firmware=_parse_firmware(domain),
        disk_bus=_parse_disk_bus(domain),
        os=_parse_os(domain),
    )


def parse_system_disk(xml: str) -> tuple[Path, str] | None:
    """File or device of the first disk and its format; None when it is on the network."""
    disk = etree.fromstring(xml.encode()).find("devices/disk[@device='disk']")
    source = None if disk is None else disk.find("source")
    path = None if source is None else source.get("file") or source.get("dev")
    if disk is None or path is None:
        return None
    driver = disk.find("driver")
    return Path(path), "raw" if driver is None else driver.get("type", "raw")


def _ownership(ownership: Ownership) -> etree._Element:
    name = etree.QName(NAMESPACE, "desktop")
    return etree.Element(name, _ownership_attributes(ownership), {PREFIX: NAMESPACE})


def _ownership_attributes(ownership: Ownership) -> dict[str, str]:
    return {
        "collection": ownership.collection,
        "job": ownership.job,
        "image": ownership.image,
        "adopted": "yes" if ownership.adopted else "no",
    }


def parse_ownership(xml: str) -> Ownership:
    """From our element as virDomainGetMetadata gives it."""
    return _read_ownership(etree.fromstring(xml.encode()))


def _parse_ownership(element: etree._Element | None) -> Ownership | None:
    return None if element is None else _read_ownership(element)


def _read_ownership(element: etree._Element) -> Ownership:
    return Ownership(
        collection=element.get("collection", ""),
        job=element.get("job", ""),
        image=element.get("image", ""),
        adopted=element.get("adopted") == "yes",
    )


def _parse_firmware(domain: etree._Element) -> Firmware:
    if domain.find("os/kernel") is not None:
        return Firmware.KERNEL
    automatic = domain.find("os[@firmware='efi']") is not None
    uefi = automatic or domain.find("os/loader[@type='pflash']") is not None
    return Firmware.UEFI if uefi else Firmware.BIOS


def _parse_disk_bus(domain: etree._Element) -> DiskBus:
    """That of the first disk; virtio when it is one that images do not have (scsi, usb)."""
    target = domain.find("devices/disk[@device='disk']/target")
    bus = "" if target is None else target.get("bus", "")
    return DiskBus(bus) if bus in set(DiskBus) else DiskBus.VIRTIO


def _parse_os(domain: etree._Element) -> GuestOs:
    """Windows when the clock runs on local time or Hyper-V features are on, as only there."""
    local = domain.find("clock[@offset='localtime']") is not None
    windows = local or domain.find("features/hyperv") is not None
    return GuestOs.WINDOWS if windows else GuestOs.LINUX


def _os(spec: VmSpec, wiring: Wiring) -> etree._Element:
    machine = "pc" if spec.image.disk_bus is DiskBus.IDE else "q35"  # q35 has no IDE controller
    element = _tag("os", _tag("type", "hvm", arch="x86_64", machine=machine))
    match spec.image.firmware:
        case Firmware.UEFI:
            element.append(_tag("loader", OVMF_CODE, readonly="yes", type="pflash"))
            element.append(_tag("nvram", str(wiring.nvram), template=OVMF_VARS))
        case Firmware.KERNEL:
            element.append(_tag("kernel", str(spec.image.kernel)))
            element.append(_tag("initrd", str(spec.image.initrd)))
            element.append(_tag("cmdline", spec.image.cmdline))
        case Firmware.BIOS:
            element.append(_tag("boot", dev="hd"))
    return element


def _features(spec: VmSpec, wiring: Wiring) -> etree._Element:
    features = _tag("features", _tag("acpi"), _tag("apic"))
    if spec.image.os is GuestOs.WINDOWS and wiring.accelerator == "kvm":
        features.append(
            _tag(
                "hyperv",
                _tag("relaxed", state="on"),
                _tag("vapic", state="on"),
                _tag("spinlocks", state="on", retries="8191"),
            )
        )
    return features


def _devices(spec: VmSpec, wiring: Wiring) -> etree._Element:
    virtio = spec.image.disk_bus is DiskBus.VIRTIO  # the guest has virtio drivers
    devices = _tag(
        "devices",
        _tag(
            "disk",
            _driver(wiring),
            _tag("source", file=str(wiring.disk)),
            _tag("target", dev=_DISK_NAME[spec.image.disk_bus], bus=spec.image.disk_bus.value),
            type="file",
            device="disk",
        ),
        _tag("serial", type="pty"),  # not a file: the guest could fill the disk with it
        _tag(
            "channel",
            _tag("source", mode="bind", **_path("path", wiring.agent_socket)),
            _tag("target", type="virtio", name=AGENT_CHANNEL),
            type="unix",
        ),
        _tag(
            "graphics",
            _tag("listen", type="socket", **_path("socket", wiring.vnc_socket)),
            type="vnc",
            sharePolicy="force-shared",  # no viewer shuts the others out
        ),
        _tag("video", _video(virtio=virtio)),
        _tag("input", type="tablet", bus="virtio" if virtio else "usb"),
        _tag("memballoon", model="none"),
        _tag("rng", _tag("backend", "/dev/urandom", model="random"), model="virtio"),
    )
    if virtio:
        devices.append(_tag("controller", type="usb", model="none"))
    if spec.network:
        devices.append(_interface(spec.mac, wiring.network, "virtio" if virtio else "e1000e"))
    return devices


def _driver(wiring: Wiring) -> etree._Element:
    """Past this machine's cache where another is to go on with the file."""
    cache = {"cache": "none"} if wiring.movable else {}
    return _tag("driver", name="qemu", type="qcow2", discard="unmap", **cache)


def _path(attribute: str, path: Path | None) -> dict[str, str]:
    return {attribute: str(path)} if path else {}


def _video(*, virtio: bool) -> etree._Element:
    """virtio's is told by the viewer which size to have, and is a VGA to who has no driver."""
    return _tag("model", type="virtio") if virtio else _tag("model", type="vga", vram="16384")


def _interface(mac: str, network: Network, model: str) -> etree._Element:
    interface = _tag(
        "interface", _tag("mac", address=mac), _tag("model", type=model), type=network.kind
    )
    if network.source:
        interface.append(_tag("source", **{network.kind: network.source}))
    return interface


def _tag(name: str, /, *content: etree._Element | str, **attributes: str) -> etree._Element:
    element = etree.Element(name, attributes)
    for part in content:
        if isinstance(part, str):
            element.text = part
        else:
            element.append(part)
    return element


def _text(element: etree._Element) -> str:
    return str(etree.tostring(element, encoding="unicode"))
