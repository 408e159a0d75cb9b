"""What there is at the moment a job is accepted or planned: room, names, addresses."""

from __future__ import annotations

from dataclasses import dataclass

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop
from openrdms.model.host import VmInfo
from openrdms.model.job import JobDesktop
from openrdms.model.provisioning import HostAllocation
from openrdms.services.hosts import Hosts
from openrdms.services.provisioning.placement import Room


@dataclass(frozen=True)
class Census:
    """Names are case folded, but for those of hosts.

    ``silent`` hosts could not be asked; ``closed`` ones are no VM hosts of the deployment now.
    """

    vms: dict[str, dict[str, VmInfo]]
    rooms: tuple[Room, ...]
    silent: frozenset[str]
    closed: frozenset[str]
    names: frozenset[str]
    macs: frozenset[str]


def take_census(store: ports.Store, hosts: Hosts, without_job: str = "") -> Census:
    """Count VMs, records and what running jobs, but for one, are about to make."""
    desktops = store.list_desktops()
    planned: list[Desktop | JobDesktop] = [
        row
        for job in store.list_jobs(running=True)
        if job.guid != without_job
        for row in store.list_job_desktops(job.guid)
    ]
    explained = [*desktops, *planned]
    vms = {host.name: _list_vms(host) for host in hosts.all()}
    rooms = []
    unwilling = {node.fqdn.casefold() for node in store.list_nodes() if not node.takes_desktops}
    closed = frozenset(host.name for host in hosts.all() if host.name.casefold() in unwilling)
    for host in hosts.all():
        found = vms[host.name]
        if found is not None and host.name not in closed:
            here = {one.name.casefold() for one in explained if one.host == host.name}
            rooms.append(Room(host.name, host.describe().capacity, len(here | found.keys())))
    known = {one.name.casefold() for one in explained}
    return Census(
        vms={host: found or {} for host, found in vms.items()},
        rooms=tuple(rooms),
        silent=frozenset(host for host, found in vms.items() if found is None),
        closed=closed,
        names=frozenset(known.union(*(found or {} for found in vms.values()))),
        macs=frozenset(one.mac for one in explained),
    )


def _list_vms(host: ports.Host) -> dict[str, VmInfo] | None:
    """The VMs by case-folded name, None when the host does not answer."""
    try:
        return {vm.name.casefold(): vm for vm in host.list_vms()}
    except errors.HostUnavailable:
        return None


def resolve_hosts(
    allocations: tuple[HostAllocation, ...], hosts: Hosts, census: Census
) -> list[tuple[str | None, int]]:
    """What ``placement.place`` wants. No allocation at all is one desktop anywhere.

    NotFound names an unknown host, InvalidParameter one that takes no desktops,
    HostUnavailable one that does not answer.
    """
    wanted: list[tuple[str | None, int]] = []
    for allocation in allocations or (HostAllocation("", 1),):
        name = hosts.get(allocation.host).name if allocation.host else None
        if name in census.closed:
            reason = f"{name} is no VM host of the deployment now"
            raise errors.InvalidParameter("HyperVHost", reason)
        if name in census.silent or not census.rooms:
            words = f"host {name} does not answer" if name else "no host takes desktops now"
            raise errors.HostUnavailable(words)
        wanted.append((name, allocation.count))
    return wanted
