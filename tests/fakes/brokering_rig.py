"""Brokering over a small deployment, and a pool as plain as can be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from fakes.small_deployment import HOST1, SmallDeployment, open_small_deployment
from openrdms import ports
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.jobs.tokens import Tokens
from openrdms.model import errors
from openrdms.model.account import Role
from openrdms.model.collection import CollectionType
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.ports import Clock, Guest
from openrdms.security.accounts import Accounts
from openrdms.services.access import Access
from openrdms.services.alone import ALONE
from openrdms.services.brokering import Brokering, Connection, Parts, User
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.first_start import FirstStart
from openrdms.services.host_health import HostHealth
from openrdms.services.images import Images
from openrdms.services.session_watch import SessionWatch

CORP = "CORP"


def now() -> datetime:
    return datetime.now(UTC)


class PlainPools:
    """Remembers what it was told, and says what it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int]] = []
        self.words = ""
        self.usual: float | None = None

    def set_waiting(self, collection: str, count: int) -> None:
        self.waiting.append((collection, count))

    def stopped(self, collection: str) -> str:
        return self.words

    def seconds(self, collection: str) -> float | None:
        return self.usual


@dataclass(frozen=True)
class BrokeringRig:
    """Users are accounts of the group Staff, which may use the collections "pool" and "own"."""

    place: SmallDeployment
    accounts: Accounts
    access: Access
    images: Images
    uses: DesktopUses
    health: HostHealth
    tokens: Tokens
    watch: SessionWatch
    pools: PlainPools
    first_start: FirstStart
    brokering: Brokering
    clock: Clock = now

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
        on = self.place.hosts.get(host)
        on.start(name)
        self.make(name, Use.READY, mark=_await_mark(on.guest(name)))
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


def _await_mark(guest: Guest) -> str:
    for _ in range(1000):
        with suppress(errors.GuestUnreachable):
            return guest.logon_mark(5)
        time.sleep(0.01)
    raise AssertionError("its guest never answered")


@contextmanager
def open_brokering_rig(
    directory: Path,
    *slow: str,
    store: ports.Store | None = None,
    members: ports.MemberStore = ALONE,
) -> Iterator[BrokeringRig]:
    with open_small_deployment(directory, "users=0", *slow, store=store) as place:
        accounts = Accounts(place.store, directory / "nt-hashes", now)
        if accounts.look("root") is None:
            accounts.add("root", Role.ADMINISTRATOR, groups=["Staff"])
        access = Access(place.store, accounts)
        uses = DesktopUses(place.store, now)
        health = HostHealth(place.hosts, now)
        watch = SessionWatch(place.store, place.hosts, health, uses, now)
        tokens = Tokens(place.hosts.get, lambda _: 100)
        pools = PlainPools()
        first_start = FirstStart(place.store, place.hosts)
        basics = (place.store, place.hosts, uses, access, health, tokens, watch, pools, now)
        watch.start()
        yield BrokeringRig(
            place=place,
            accounts=accounts,
            access=access,
            images=Images(place.store, DebianImageTools(), directory / "images", now),
            uses=uses,
            health=health,
            tokens=tokens,
            watch=watch,
            pools=pools,
            first_start=first_start,
            brokering=Brokering(Parts(*basics, first_start.identify, members)),
        )
        watch.close()
        health.close()
