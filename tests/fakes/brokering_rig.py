"""Brokering over a small deployment, and a pool as plain as can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from fakes.small_deployment import HOST1, SmallDeployment, open_small_deployment
from openrdms.model.account import Role
from openrdms.model.collection import CollectionType
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.security.accounts import Accounts
from openrdms.services.access import Access
from openrdms.services.brokering import Brokering, Connection, User
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import HostHealth

CORP = "CORP"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class BrokeringRig:
    """Users are accounts of the group Staff, which may use the collections "pool" and "own"."""

    place: SmallDeployment
    accounts: Accounts
    access: Access
    uses: DesktopUses
    health: HostHealth
    brokering: Brokering

    def add_user(self, name: str) -> User:
        self.accounts.add(name, Role.USER, groups=["Staff"])
        return self.brokering.find_user(name, CORP)

    def add_collection(self, alias: str, kind: CollectionType) -> None:
        self.place.make_collection(alias, kind)
        descriptor = self.access.make_descriptor(["Staff"])
        self.place.store.change_collection(
            alias, lambda one: replace(one, security_descriptor=descriptor)
        )

    def add_ready(self, name: str, collection: str = "pool", host: str = HOST1) -> Desktop:
        """A desktop that runs and is READY."""
        desktop = self.place.make_desktop(name, collection, host)
        self.place.hosts.get(host).start(name)
        self.make(name, Use.READY)
        return desktop

    def make(self, name: str, use: Use, **values: object) -> DesktopUse:
        """Whatever it is now."""
        (changed,) = self.uses.move([name], use, of=[*Use], **values)
        return changed

    def use(self, name: str) -> DesktopUse:
        found = self.place.store.find_use(name)
        assert found
        return found

    def connect(self, user: User, collection: str = "pool", wait: float = 0) -> Connection:
        answer = self.brokering.connect(user, collection, wait)
        assert isinstance(answer, Connection), answer
        return answer


@contextmanager
def open_brokering_rig(directory: Path, *slow: str) -> Iterator[BrokeringRig]:
    with open_small_deployment(directory, "users=0", *slow) as place:
        accounts = Accounts(place.store, directory / "nt-hashes", now)
        accounts.add("root", Role.ADMINISTRATOR, groups=["Staff"])
        access = Access(place.store, accounts)
        uses = DesktopUses(place.store, now)
        health = HostHealth(place.hosts, now)
        brokering = Brokering(place.store, place.hosts, uses, access, health, now)
        yield BrokeringRig(place, accounts, access, uses, health, brokering)
        health.close()
