"""Composition root: what is built from what, and how the service starts and stops.

The service is crash-only: stopping it is closing its listeners and leaving, nothing else, so
that an orderly stop and kill -9 leave the same behind.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from openrdms import config, ports, runtime_dir
from openrdms.adapters import sql
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.frontends.admin.commands import LocalAdmin
from openrdms.model import errors
from openrdms.services.audit import Audit
from openrdms.services.hosts import Hosts
from openrdms.services.images import Images

_LOCK_SECONDS = 2.0
"""How long a killed service's children may keep its lock: they close it when they execute."""


def now() -> datetime:
    """The service's clock (ports.Clock)."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Core:
    """What commands without a service need too. A state directory has one at a time."""

    state_dir: Path
    store: ports.Store
    hosts: Hosts
    images: Images
    audit: Audit


@contextmanager
def open_core(state_dir: Path, hypervisors: tuple[str, ...]) -> Iterator[Core]:
    """Take a state directory, made at first, and open what it holds.

    InvalidOperation when another process has it; InvalidParameter for a wrong hypervisor URI.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _held(state_dir):
        store = sql.open_store(f"sqlite:///{state_dir}/records.sqlite")
        hosts = Hosts(host for uri in hypervisors for host in _connect(uri, state_dir))
        images = Images(store, DebianImageTools(), state_dir / "images", now)
        images.register(image for host in hosts.all() for image in host.images())
        try:
            yield Core(state_dir, store, hosts, images, Audit(store, hosts))
        finally:
            hosts.close()
            store.close()


@contextmanager
def open_admin(state_dir: Path) -> Iterator[LocalAdmin]:
    """Administration of a state directory that no service runs on, with its last hypervisors."""
    try:
        hypervisors = config.recall_hypervisors(state_dir)
    except ValueError as error:
        raise errors.OperationFailed(str(error)) from error
    with open_core(state_dir, hypervisors) as core:
        yield LocalAdmin(core)


def _connect(uri: str, state_dir: Path) -> list[ports.Host]:
    """The hosts behind one URI. Only the adapter that is needed is loaded."""
    if urlsplit(uri).scheme == "simulator":
        from openrdms.adapters import simulator

        return [*simulator.connect(uri)]
    from openrdms.adapters import libvirt

    return [libvirt.connect(uri, state_dir, runtime_dir.make_runtime_dir(state_dir))]


@contextmanager
def _held(state_dir: Path) -> Iterator[None]:
    """Keep every other process out of the state directory; the kernel lets go with ours."""
    with (state_dir / "lock").open("a+") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(lock.fileno()):
            if time.monotonic() > deadline:
                lock.seek(0)
                raise errors.InvalidOperation(
                    f"{state_dir} is in use by process {lock.read() or '?'}"
                )
            time.sleep(0.05)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
