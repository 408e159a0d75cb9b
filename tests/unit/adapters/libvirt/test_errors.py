"""Which of libvirt's errors mean that the host is out of reach."""

from __future__ import annotations

import libvirt
import pytest

from openrdms.adapters.libvirt import errors
from openrdms.model.errors import GuestUnreachable, HostUnavailable, OperationFailed

FROZEN = (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_RPC)
REFUSED = (libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_QEMU)


def failure(code: int, domain: int) -> libvirt.libvirtError:
    error = libvirt.libvirtError("as the binding makes it")
    error.err = (code, domain, "connection closed due to keepalive timeout", 2, "", "", "", -1, -1)
    return error


def test_a_daemon_that_froze_is_a_host_out_of_reach() -> None:
    with pytest.raises(HostUnavailable, match="host1"), errors.translated("host1"):
        raise failure(*FROZEN)
    with pytest.raises(GuestUnreachable, match="pool-1"), errors.agent_translated("pool-1"):
        raise failure(*FROZEN)


def test_what_qemu_refuses_is_no_such_thing() -> None:
    with pytest.raises(OperationFailed, match="pool-1"), errors.translated("pool-1"):
        raise failure(*REFUSED)
