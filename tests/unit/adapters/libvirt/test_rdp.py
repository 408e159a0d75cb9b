"""Where guests' RDP is: what QEMU and guest agents say of it."""

from __future__ import annotations

import ipaddress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.adapters.libvirt.rdp import forwarding_address, read_forward, usable_addresses

NONE = """\
Hub -1 (hostnet0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
"""
SOME = """\
hub 0 (hostnet1):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[HOST_FORWARD]  30    127.64.9.9 40009       10.0.2.15  3389     0     0
Hub -1 (hostnet0):
  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ
  TCP[ESTABLISHED]   21      10.0.2.15 54776   151.101.2.132    80     0     0
  TCP[HOST_FORWARD]  11      127.0.0.1 40022       10.0.2.15    22     0     0
  TCP[HOST_FORWARD]  12    127.64.3.9 40001       10.0.2.15  3389     0     0
  UDP[236 sec]       16      10.0.2.15 55046      172.18.0.1    53     0     0
"""


def test_forwards_of_user_networking() -> None:
    assert read_forward(NONE, "hostnet0") is None
    assert read_forward(SOME, "hostnet0") == ("127.64.3.9", 40001)
    assert read_forward(SOME, "hostnet1") == ("127.64.9.9", 40009)
    assert read_forward(SOME, "hostnet2") is None


@given(st.uuids())
def test_a_vm_has_one_loopback_address_that_guests_do_not_reach(vm: UUID) -> None:
    address = ipaddress.IPv4Address(forwarding_address(vm))
    assert address in ipaddress.ip_network("127.64.0.0/10")
    assert forwarding_address(vm) == str(address)


@pytest.mark.parametrize(
    ("told", "usable"),
    [
        (["fe80::1", "fd00::7", "10.1.2.7"], ["10.1.2.7", "fd00::7"]),
        (["127.0.0.1", "::1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "255.255.255.255"], []),
        (["10.1.2.3", "10.1.2.4"], ["10.1.2.4"]),
    ],
)
def test_addresses_that_lead_to_the_guest(told: list[str], usable: list[str]) -> None:
    assert list(usable_addresses(told, frozenset({"10.1.2.3"}))) == usable
