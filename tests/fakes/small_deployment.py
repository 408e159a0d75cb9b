"""Two simulated hosts and empty records, for services that join the two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid5

from fakes.new_records import open_records
from openrdms import ports
from openrdms.adapters import simulator
from openrdms.adapters.simulator.clock import Clock
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import DiskKind, Ownership, VmSpec
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.run_states import RunStates

HOST1, HOST2 = "host1.sim.local", "host2.sim.local"


@dataclass(frozen=True)
class SmallDeployment:
    """``path`` is the simulator's state, for its controls."""

    path: Path
    hosts: Hosts
    store: ports.Store
    uses: DesktopUses

    def health(self) -> HostHealth:
        """Nobody asks the hosts here: what is known is what is noted."""
        return HostHealth(self.hosts, lambda: datetime.now(UTC))

    def run_states(self) -> RunStates:
        """Desktops are started as they are: nobody keeps a pool here."""
        return RunStates(
            self.store,
            self.hosts,
            self.uses,
            lambda use: self.hosts.get(use.host).start(use.name),
        )

    def make_desktop(
        self, name: str, home: str, host: str = HOST1, *, identity_set: bool = True
    ) -> Desktop:
        """A desktop as a Create job leaves it, switched off."""
        on = self.hosts.get(host)
        image = on.images()[0]
        spec = VmSpec(
            name=name,
            uuid=uuid5(NAMESPACE_DNS, name),
            mac="52:54:00:aa:bb:cc",
            image=image,
            disk_kind=DiskKind.LINKED,
            generation=1,
            ownership=Ownership(home, "{JOB}", image.reference),
        )
        on.create_disk(spec)
        on.define(spec)
        desktop = Desktop(
            name=name,
            host=host,
            uuid=spec.uuid,
            mac=spec.mac,
            collection=home,
            home=home,
            image=image.reference,
            disk_kind=spec.disk_kind,
            generation=1,
            status=DesktopStatus.SUCCESS,
            identity_set=identity_set,
        )
        self.store.put_desktops([desktop])
        return desktop

    def make_collection(
        self,
        alias: str,
        kind: CollectionType = CollectionType.MANUAL_PERSONAL,
        *,
        managed: bool = True,
    ) -> Collection:
        collection = Collection(alias, f"The {alias}", kind, is_managed=managed)
        self.store.create_collection(collection)
        return collection


@contextmanager
def open_small_deployment(
    directory: Path, *slow: str, store: ports.Store | None = None, clock: Clock | None = None
) -> Iterator[SmallDeployment]:
    """Everything on it takes no time but what ``slow`` says (``boot_ms=300``)."""
    path = directory / "simulator"
    steps = ("clone", "start", "boot", "agent", "destroy", "save")
    given = {step.partition("=")[0] for step in slow}
    quick = "&".join([*slow, *(f"{step}_ms=0" for step in steps if f"{step}_ms" not in given)])
    hosts = Hosts(simulator.connect(f"simulator://{path}?hosts=2&{quick}", clock))
    store = store or open_records(directory / "records.sqlite")
    uses = DesktopUses(store, lambda: datetime.now(UTC))
    yield SmallDeployment(path, hosts, store, uses)
    hosts.close()
    store.close()
