"""How the hypervisor hosts are, and what an administrator has set for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from openrdms import ports
from openrdms.model import errors
from openrdms.model.host import HostInfo, HostSettings
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts

_MOST_AT_A_TIME = 100
"""Largest concurrency factor of RDMS."""

_MOST_IDLE = 2**31 - 1

_SPARED = "fails, or takes much longer than others: no desktops are placed there by choice"

Listener = Callable[[str, HostSettings], None]


@dataclass(frozen=True)
class HostState:
    """A host as it is now. ``desktops`` are those on record there.

    ``reason`` says why it is ``degraded`` or away, "" when it is neither.
    """

    info: HostInfo
    settings: HostSettings
    desktops: int
    degraded: bool
    reason: str


class HostStates:
    """Safe from any thread. Hosts are named as ``Hosts`` finds them; NotFound for others."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        health: HostHealth,
        is_degraded: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._hosts = hosts
        self._health = health
        self._is_degraded = is_degraded
        self._listeners: list[Listener] = []

    def list(self) -> Iterator[HostState]:
        """Every host, in the order in which they were named to the service."""
        counts = self._store.count_desktops()
        for host in self._hosts.all():
            yield self._describe(host, counts.get(host.name.casefold(), 0))

    def get(self, name: str) -> HostState:
        """One host."""
        host = self._hosts.get(name)
        return self._describe(host, self._store.count_desktops().get(host.name.casefold(), 0))

    def subscribe(self, listener: Listener) -> None:
        """Tell it, from now on, of every change of a host's settings."""
        self._listeners.append(listener)

    def hear(self, hosts: Iterable[str]) -> None:
        """Another service may have changed settings of these."""
        for host in hosts:
            settings = self._store.find_host_settings(host)
            for listener in self._listeners:
                listener(host, settings)

    def set_concurrency(self, name: str, factor: int | None) -> None:
        """How many desktops are made there at a time; None leaves it to the service."""
        if factor is not None and not 1 <= factor <= _MOST_AT_A_TIME:
            reason = f"{factor} is not from 1 to {_MOST_AT_A_TIME}"
            raise errors.InvalidParameter("ConcurrencyFactor", reason)
        self._change(name, lambda settings: replace(settings, concurrency=factor))

    def set_idle_count(self, name: str, count: int | None) -> None:
        """How many desktops that nobody uses are kept running there; None: as pools see fit."""
        if count is not None and not 0 <= count <= _MOST_IDLE:
            raise errors.InvalidParameter("IdleVmCount", f"{count} is not from 0 to {_MOST_IDLE}")
        self._change(name, lambda settings: replace(settings, idle_count=count))

    def set_drain(self, name: str, drain: bool) -> None:  # noqa: FBT001  it is the setting
        """Whether it is to be emptied, and gets no desktops."""
        self._change(name, lambda settings: replace(settings, drain=drain))

    def _change(self, name: str, change: Callable[[HostSettings], HostSettings]) -> None:
        host = self._hosts.get(name).name
        settings = self._store.change_host_settings(host, change)
        for listener in self._listeners:
            listener(host, settings)

    def _describe(self, host: ports.Host, desktops: int) -> HostState:
        """A host that is known to be away is not asked: it may not even refuse."""
        absence = self._health.status(host.name)
        info = _absent(host.name) if absence else host.describe()
        degraded = info.reachable and self._is_degraded(host.name)
        reason = absence.words if absence else _SPARED if degraded else ""
        return HostState(
            info=info,
            settings=self._store.find_host_settings(host.name),
            desktops=desktops,
            degraded=degraded,
            reason=reason or ("" if info.reachable else "does not answer"),
        )


def _absent(name: str) -> HostInfo:
    return HostInfo(name, reachable=False, accelerator="", capacity=0, free_bytes=0, os_version="")
