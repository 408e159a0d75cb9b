"""A VM's screen and keyboard, as a stream of RFB (RFC 6143) with QEMU's VNC server."""

from __future__ import annotations

import socket

import libvirt
from lxml import etree

from openrdms.model.errors import NotSupported, VmNotRunning


def open_display(domain: libvirt.virDomain) -> socket.socket:
    """Connected by the monitor (qapi add_client), so where the VM listens does not matter.

    VmNotRunning; NotSupported for a VM without VNC or whose libvirt is on another machine.
    """
    if not domain.isActive():
        raise VmNotRunning(f"{domain.name()} is off and shows nothing")
    number = _find_vnc(domain.XMLDesc())
    if number is None:
        raise NotSupported(f"{domain.name()} has no VNC display")
    if not domain.connect().getURI().partition("://")[2].startswith("/"):
        raise NotSupported(
            f"{domain.name()} is on another machine: its display is not brought here"
        )
    handle = domain.openGraphicsFD(number, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)
    return socket.socket(fileno=handle)


def _find_vnc(xml: str) -> int | None:
    kinds = [each.get("type") for each in etree.fromstring(xml.encode()).iter("graphics")]
    return kinds.index("vnc") if "vnc" in kinds else None
