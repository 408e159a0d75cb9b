"""libvirt's errors in our terms: the only place that knows its codes (virterror.h)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import libvirt

from openrdms.model.errors import (
    GuestUnreachable,
    HostUnavailable,
    NotFound,
    OperationFailed,
    RdmsError,
    VmNotRunning,
)

_HOST_LOST = {
    libvirt.VIR_ERR_NO_CONNECT,
    libvirt.VIR_ERR_INVALID_CONN,
    libvirt.VIR_ERR_RPC,
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_NO_SUPPORT,
}
_AGENT_SILENT = {
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_AGENT_UNSYNCED,
    libvirt.VIR_ERR_OPERATION_TIMEOUT,
}


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn libvirt's error into one of ours that begins with ``what`` (a VM's or host's name)."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise _translate(error)(f"{what}: {error}") from error


@contextmanager
def translated_open(uri: str) -> Iterator[None]:
    """The same for opening a connection: whatever prevents it, the host is not available."""
    try:
        yield
    except libvirt.libvirtError as error:
        raise HostUnavailable(f"{uri}: {error}") from error


@contextmanager
def agent_translated(vm: str) -> Iterator[None]:
    """The same for a call to a guest agent, where a VM that is off or gone is VmNotRunning."""
    try:
        yield
    except NotFound as error:
        raise VmNotRunning(str(error)) from error
    except libvirt.libvirtError as error:
        code = error.get_error_code()
        if code in _AGENT_SILENT or is_host_lost(error):
            raise GuestUnreachable(f"{vm}: {error}") from error
        if code in {libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_NO_DOMAIN}:
            raise VmNotRunning(f"{vm} is not running") from error
        raise OperationFailed(f"{vm}: {error}") from error


def _translate(error: libvirt.libvirtError) -> type[RdmsError]:
    if is_host_lost(error):
        return HostUnavailable
    if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
        return NotFound
    return OperationFailed


def is_host_lost(error: libvirt.libvirtError) -> bool:
    """A daemon that froze is an "internal error" of the connection (rpc/virnetclient.c)."""
    of_connection = error.get_error_domain() == libvirt.VIR_FROM_RPC
    return of_connection or error.get_error_code() in _HOST_LOST
