"""Where a guest's RDP is reached from this machine.

A guest on a bridge or a network of libvirt's has an address of its own, which its agent tells. One
on user networking is behind QEMU: a port of this machine is forwarded to it when somebody asks, and
stays until the VM stops. It is on a loopback address that no guest reaches, and that is the same
for a VM every time.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from uuid import UUID

import libvirt
import libvirt_qemu
from lxml import etree

from openrdms.model.errors import GuestUnreachable, NotSupported, OperationFailed, VmNotRunning
from openrdms.model.rdp_file import RDP_PORT

_HUMAN = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
_NETWORK = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HEADING = re.compile(r"\(([A-Za-z0-9_.-]+)\):\s*$|^([A-Za-z0-9_.-]+):\s")
_FORWARD = re.compile(
    r"\s*TCP\[HOST_FORWARD\]\s+\d+\s+(?P<address>127\.[\d.]+)\s+(?P<port>\d+)"
    r"\s+[\d.]+\s+(?P<to>\d+)\s"
)


def find_address(domain: libvirt.virDomain, *, here: bool) -> tuple[str, int]:
    """Address and port. ``here``: its QEMU runs on this machine.

    VmNotRunning; NotSupported without a network card, or behind a QEMU elsewhere; GuestUnreachable
    when its agent names no address; OperationFailed when QEMU forwards nothing.
    """
    if not domain.isActive():
        raise VmNotRunning(f"{domain.name()} is off and has no address")
    description = etree.fromstring(domain.XMLDesc().encode())
    card = description.find("devices/interface")
    if card is None:
        raise NotSupported(f"{domain.name()} has no network card")
    if card.get("type") != "user":
        return _ask_agent(domain, _attribute(card, "mac", "address")), RDP_PORT
    if not here:
        raise NotSupported(f"{domain.name()} is behind a QEMU of another machine")
    return _forward(domain, "host" + _attribute(card, "alias", "name"))


def _attribute(card: etree._Element, child: str, name: str) -> str:
    found = card.find(child)
    return "" if found is None else found.get(name, "")


def forwarding_address(vm: UUID) -> str:
    """The loopback address of a VM: 127.64.0.0/10, which is not the one guests know as theirs."""
    low = int.from_bytes(vm.bytes[-3:], "big") % ((1 << 22) - 2) + 1
    return str(ipaddress.IPv4Address((127 << 24 | 64 << 16) + low))


def read_forward(text: str, network: str) -> tuple[str, int] | None:
    """The forward to RDP that ``info usernet`` shows for that network, if there is one."""
    current = ""
    for line in text.splitlines():
        if heading := _HEADING.search(line):
            current = heading[1] or heading[2]
        found = _FORWARD.match(line)
        if found and current == network and int(found["to"]) == RDP_PORT:
            return found["address"], int(found["port"])
    return None


def _forward(domain: libvirt.virDomain, network: str) -> tuple[str, int]:
    if not _NETWORK.fullmatch(network):
        raise OperationFailed(f"{domain.name()}: its network is called {network!r}")
    present = read_forward(_monitor(domain, "info usernet"), network)
    if present:
        return present
    address = forwarding_address(UUID(domain.UUIDString()))
    refused = _monitor(domain, f"hostfwd_add {network} tcp:{address}:0-:{RDP_PORT}")
    made = read_forward(_monitor(domain, "info usernet"), network)
    if made is None:
        words = refused.strip() or "it shows no forward"
        raise OperationFailed(f"{domain.name()}: QEMU forwards nothing to it: {words}")
    return made


def _monitor(domain: libvirt.virDomain, command: str) -> str:
    return str(libvirt_qemu.qemuMonitorCommand(domain, command, _HUMAN))


def _ask_agent(domain: libvirt.virDomain, mac: str) -> str:
    try:
        cards = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT, 0)
    except libvirt.libvirtError as error:
        raise GuestUnreachable(f"{domain.name()} does not tell its address: {error}") from error
    addresses = [
        address["addr"]
        for card in cards.values()
        if (card["hwaddr"] or "").casefold() == mac.casefold()
        for address in card["addrs"] or ()
    ]
    usable = next(usable_addresses(addresses, _own_addresses()), None)
    if usable is None:
        raise GuestUnreachable(f"{domain.name()} has no address on its card {mac}")
    return usable


def usable_addresses(told: list[str], ours: frozenset[str]) -> Iterator[str]:
    """Those that lead to the guest and nowhere else, IPv4 first: a guest may tell anything."""
    parsed = sorted(map(ipaddress.ip_address, told), key=lambda address: address.version)
    for address in parsed:
        special = address.is_loopback or address.is_link_local or address.is_multicast
        if not (special or address.is_unspecified or address.is_reserved or str(address) in ours):
            yield str(address)


def _own_addresses() -> frozenset[str]:
    """This machine's, by which a guest could have us connect to ourselves."""
    found = socket.getaddrinfo(socket.gethostname(), None)
    return frozenset(str(address[4][0]) for address in found)
