"""What a service needs and commands without one too: records, hosts, images, accounts."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from openrdms import ports, runtime_dir
from openrdms.adapters import sql
from openrdms.adapters.images.tools import DebianImageTools
from openrdms.app.databases import Databases
from openrdms.jobs.tokens import Tokens
from openrdms.security.accounts import Accounts
from openrdms.security.audit_log import AuditLog
from openrdms.security.shared_key import SharedKey
from openrdms.security.totp import SecondFactors
from openrdms.services.access import Access
from openrdms.services.alone import ALONE
from openrdms.services.audit import Audit
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.draining import Draining
from openrdms.services.fencing import Fence
from openrdms.services.host_health import HostHealth
from openrdms.services.host_states import HostStates
from openrdms.services.hosts import Hosts
from openrdms.services.image_diff import ImageDiff
from openrdms.services.image_removal import ImageRemoval
from openrdms.services.images import Images
from openrdms.services.installed_applications import InstalledApplications
from openrdms.services.membership import Membership
from openrdms.services.moving_desktops import MovingDesktops
from openrdms.services.provisioning.factors import ConcurrencyFactors
from openrdms.services.publishing import Publishing
from openrdms.services.reconciling import Reconciling


def now() -> datetime:
    """The service's clock (ports.Clock)."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Core:
    """What a service needs and commands without one too. A state directory has one at a time."""

    state_dir: Path
    databases: Databases
    store: ports.Store
    members: ports.MemberStore
    membership: Membership
    end: Callable[[str], None]
    hosts: Hosts
    health: HostHealth
    host_states: HostStates
    moving: MovingDesktops
    draining: Draining
    uses: DesktopUses
    tokens: Tokens
    reconciling: Reconciling
    images: Images
    image_diff: ImageDiff
    image_removal: ImageRemoval
    audit: Audit
    accounts: Accounts
    second_factors: SecondFactors
    audit_log: AuditLog
    access: Access
    publishing: Publishing
    installed_applications: InstalledApplications


@contextmanager
def open_core(
    state_dir: Path,
    hypervisors: tuple[str, ...],
    databases: Databases,
    end: Callable[[str], None] = print,
) -> Iterator[Core]:
    """Open what a state directory holds, which must be held, and its hypervisors.

    ``end`` ends the process, told why: other services have taken it for dead.
    InvalidParameter for a wrong URI, HostUnavailable, OperationFailed.
    """
    store, members = _open_records(databases, end)
    hosts = _open_hosts(hypervisors, state_dir, members)
    health, uses = HostHealth(hosts, now), DesktopUses(store, now)
    looks, drains = (partial(members.hold_duty, duty) for duty in ("hosts", "draining"))
    tokens = Tokens(hosts.get, ConcurrencyFactors(store))
    images = _open_images(state_dir, store, hosts, members)
    accounts, second_factors, audit_log = _open_security(state_dir, databases, store, members.me)
    moving = _make_moving(store, hosts, health, uses, members, tokens.is_degraded)
    draining = Draining(store, hosts, uses, moving, drains)
    try:
        yield Core(
            state_dir=state_dir,
            databases=databases,
            store=store,
            members=members,
            membership=Membership(members),
            end=end,
            hosts=hosts,
            health=health,
            host_states=HostStates(store, hosts, health, tokens.is_degraded),
            moving=moving,
            draining=draining,
            uses=uses,
            tokens=tokens,
            reconciling=Reconciling(store, hosts, health, uses, now, looks),
            images=images,
            image_diff=ImageDiff(images, DebianImageTools()),
            image_removal=ImageRemoval(store, hosts, images),
            audit=Audit(store, hosts),
            accounts=accounts,
            second_factors=second_factors,
            audit_log=audit_log,
            access=Access(store, accounts),
            publishing=Publishing(store),
            installed_applications=InstalledApplications(store, hosts),
        )
    finally:
        for part in (draining, health, hosts, members, store):
            part.close()


def _open_records(
    databases: Databases, end: Callable[[str], None]
) -> tuple[ports.Store, ports.MemberStore]:
    if not databases.is_shared:
        return sql.open_store(databases.records), ALONE
    return sql.open_shared_store(databases.records, secrets.token_hex(8), end)


def _open_security(
    state_dir: Path, databases: Databases, store: ports.Store, me: str
) -> tuple[Accounts, SecondFactors, AuditLog]:
    """InvalidParameter for another key than that of the other services."""
    directory = state_dir / "security"
    directory.mkdir(mode=0o700, exist_ok=True)
    shared = SharedKey(databases.shared_key, store) if databases.shared_key else None
    key = shared.audit_key if shared else None
    accounts = Accounts(store, directory / "nt-hashes", now, shared)
    return (
        accounts,
        SecondFactors(store, accounts, directory / "totp-key", now, shared),
        AuditLog(store, directory / "audit-head", now, key=key, member=me),
    )


def _make_moving(
    store: ports.Store,
    hosts: Hosts,
    health: HostHealth,
    uses: DesktopUses,
    members: ports.MemberStore,
    is_degraded: Callable[[str], bool],
) -> MovingDesktops:
    def list_live() -> list[str]:
        return [one.id for one in members.list_live()]

    return MovingDesktops(store, hosts, health, uses, members.me, list_live, is_degraded)


def _open_hosts(hypervisors: tuple[str, ...], state_dir: Path, members: ports.MemberStore) -> Hosts:
    check = Fence(members).check if members.me else _always
    return Hosts(host for uri in hypervisors for host in _connect(uri, state_dir, check))


def _open_images(
    state_dir: Path, store: ports.Store, hosts: Hosts, members: ports.MemberStore
) -> Images:
    """The library, which knows the images that hosts bring along."""
    images = Images(store, DebianImageTools(), state_dir / "images", now, members)
    images.register(image for host in hosts.all() for image in host.images())
    return images


def _always() -> None:
    """A service that is alone may always act."""


def _connect(uri: str, state_dir: Path, check: Callable[[], None]) -> list[ports.Host]:
    """The hosts behind one URI. Only the adapter that is needed is loaded."""
    if urlsplit(uri).scheme == "simulator":
        from openrdms.adapters import simulator

        return [*simulator.connect(uri, check=check)]
    from openrdms.adapters.libvirt import host as libvirt

    return [libvirt.connect(uri, state_dir, runtime_dir.make_runtime_dir(state_dir), check)]
