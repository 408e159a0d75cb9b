"""A provisioning rig with its pools and its session watch, on the simulator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakes import provisioning_rig as rigs
from openrdms.adapters import simulator
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.services.pools import Pools
from openrdms.services.preparation import Preparation
from openrdms.services.reconciling import Reconciling
from openrdms.services.session_watch import SessionWatch

QUIET = f"{rigs.FAST}&users=0"
"""Guests on which nobody logs on by himself."""

HOST = "host1.sim.local"


class PoolRig(rigs.Rig):
    """One life of the service; ``boot_deadline`` in seconds holds for pools, too."""

    def __init__(
        self,
        directory: Path,
        parameters: str = QUIET,
        *,
        clock: Callable[[], Any] = rigs.now,
        **options: Any,
    ) -> None:
        super().__init__(directory, parameters, **options)
        self.preparation = Preparation(
            self.store,
            self.hosts,
            self.images,
            self.uses,
            self.tokens,
            options.get("boot_deadline", 30.0),
        )
        self.watch = SessionWatch(self.store, self.hosts, self.health, self.uses, clock, 0.2)
        self.pools = Pools(self.store, self.hosts, self.health, self.uses, self.preparation, clock)
        self.reconciling = Reconciling(self.store, self.hosts, self.health, self.uses, clock)

    def resume(self) -> PoolRig:
        self.reconciling.settle_uses()
        super().resume()
        self.watch.start()
        self.pools.start()
        return self

    def close(self) -> None:
        self.pools.close()
        self.watch.close()
        super().close()

    def fill(self, count: int = 2, *, start: bool = True, **changes: Any) -> PoolRig:
        """The pool with so many desktops on host1, all READY, or UNREADY when left off."""
        self.add_collection()
        if changes:
            self.store.change_collection(rigs.POOL, lambda before: replace(before, **changes))
        self.run(rigs.create(((HOST, count),), start=start))
        wanted = {Use.READY: count} if start else {Use.UNREADY: count}
        self.wait_until(lambda: self.store.count_uses(rigs.POOL) == wanted)
        return self

    def use(self, name: str) -> DesktopUse:
        use = self.store.find_use(name)
        assert use is not None
        return use

    def wait_for(self, name: str, use: Use, timeout: float = 60.0) -> DesktopUse:
        self.wait_until(lambda: self.use(name).use is use, timeout)
        return self.use(name)

    def take(self, user: str = "corp\\alice") -> DesktopUse:
        taken = self.uses.take_ready(rigs.POOL, user)
        assert taken is not None
        return taken

    def log_on(self, name: str, user: str = "alice") -> None:
        self.host_of(name).guest(name).log_on(user)

    def log_off(self, name: str) -> None:
        guest = self.host_of(name).guest(name)
        for session in guest.list_sessions(2):
            guest.log_off(session, 2)

    def host_of(self, name: str) -> Any:
        return self.hosts.get(self.use(name).host)

    def power(self, name: str) -> str:
        """By the simulator's own state."""
        return next(
            vm["state"]
            for host in self.truth()["hosts"]
            for vm in host["vms"]
            if vm["name"] == name
        )

    def fault(self, vm: str, fault: str) -> None:
        simulator.set_fault(self.simulator, HOST, vm, fault)
