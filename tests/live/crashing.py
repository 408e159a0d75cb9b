"""`rdms` that kills itself by SIGKILL when a call on a libvirt host has returned.

Run as ``python crashing.py CALL serve ...``: CALL is a method of ``ports.Host`` or ``ports.Guest``.
The call's effect is there by then, and nothing of the service has heard of it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openrdms.adapters.libvirt.host import LibvirtHost
from openrdms.cli import main
from openrdms.ports import Guest


def crashing_after(call: str) -> tuple[str, ...]:
    """The command that stands for ``rdms`` (Service.start)."""
    return (sys.executable, str(Path(__file__)), call)


class _FatalGuest:
    """A guest of which one method is fatal."""

    def __init__(self, guest: Guest, call: str) -> None:
        self._guest = guest
        self._call = call

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._guest, name)
        return _fatal(method) if name == self._call else method


def _fatal(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> None:
        method(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return call


def _arm(call: str) -> None:
    if hasattr(LibvirtHost, call):
        setattr(LibvirtHost, call, _fatal(getattr(LibvirtHost, call)))
        return
    get_guest = LibvirtHost.guest

    def guest(host: LibvirtHost, vm: str) -> _FatalGuest:
        return _FatalGuest(get_guest(host, vm), call)

    LibvirtHost.guest = guest  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    _arm(sys.argv.pop(1))
    main()
