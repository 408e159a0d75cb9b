"""The plan of a job: its rows, made once from the document, the records and the hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from openrdms import ports
from openrdms.model import errors
from openrdms.model.collection import NO_DOMAIN, ProvisioningSettings
from openrdms.model.desktop import Desktop
from openrdms.model.host import DiskKind, VmState
from openrdms.model.job import Job, JobAction, JobDesktop
from openrdms.model.provisioning import JobDocument, parse_job
from openrdms.services.provisioning import placement
from openrdms.services.provisioning.census import Census, resolve_hosts, take_census
from openrdms.services.provisioning.work import Tools

_NAME_ATTEMPTS = 5
"""How often names that another job took meanwhile are chosen anew."""


def plan_job(tools: Tools, job: Job) -> None:
    """Decide and record what the job does to which desktop. Repeating it changes nothing.

    Raises what makes the job impossible by now: a host gone, no room left.
    """
    for attempt in range(1, _NAME_ATTEMPTS + 1):
        census = take_census(tools.store, tools.hosts, without_job=job.guid)
        rows, next_index = _PLANS[job.action](tools, job, census)
        try:
            tools.store.add_job_desktops(rows, next_index)
        except errors.AlreadyExists:
            if attempt == _NAME_ATTEMPTS:
                raise
        else:
            return


_Plan = tuple[list[JobDesktop], int | None]


def _plan_making(tools: Tools, job: Job, census: Census) -> _Plan:
    document = parse_job(job.document)
    settings = get_settings(tools.store, job.collection)
    wanted = resolve_hosts(document.hosts, tools.hosts, census)
    hosts = placement.place(wanted, census.rooms)
    start = max(document.start_index, settings.name_start_index)
    names, next_index = placement.choose_names(
        settings.name_prefix, start, len(hosts), census.names
    )
    macs = set(census.macs)
    rows = []
    for ordinal, (host, name) in enumerate(zip(hosts, names, strict=True)):
        uuid = placement.make_uuid(job.guid, name)
        mac = placement.make_mac(uuid, macs)
        macs.add(mac)
        rows.append(
            JobDesktop(
                job=job.guid,
                ordinal=ordinal,
                name=name,
                host=host,
                uuid=uuid,
                mac=mac,
                image=str(job.options["image"]),
                disk_kind=DiskKind(settings.vhd_type),
                generation=1,
                notes=_not_joined(document.domain or settings.domain),
            )
        )
    return rows, next_index


def _not_joined(domain: str) -> str:
    return "" if domain in ("", NO_DOMAIN) else f"not joined to {domain}"


def _plan_patch(tools: Tools, job: Job, census: Census) -> _Plan:
    settings = get_settings(tools.store, job.collection)
    rows = [
        replace(
            row,
            image=str(job.options["image"]),
            generation=row.generation + 1,
            previous=row.generation,
            previous_image=row.image,
            was_running=_runs(census, row.host, row.name),
            notes=_not_joined(settings.domain),
        )
        for row in _existing(tools, job)
    ]
    return rows, None


def _runs(census: Census, host: str, name: str) -> bool:
    """A paused one was in use; of a saved one only its memory remains, which goes with the disk.

    HostUnavailable for a host that cannot say: what is off must not be started."""
    if host in census.silent:
        raise errors.HostUnavailable(f"host {host} does not answer")
    vm = census.vms.get(host, {}).get(name.casefold())
    return vm is not None and vm.state in (VmState.RUNNING, VmState.PAUSED)


def _plan_delete(tools: Tools, job: Job, census: Census) -> _Plan:
    return _existing(tools, job), None


def _existing(tools: Tools, job: Job) -> list[JobDesktop]:
    chosen = select_desktops(tools.store, parse_job(job.document))
    return [
        JobDesktop(
            job=job.guid,
            ordinal=ordinal,
            name=desktop.name,
            host=desktop.host,
            uuid=desktop.uuid,
            mac=desktop.mac,
            image=desktop.image,
            disk_kind=desktop.disk_kind,
            generation=desktop.generation,
        )
        for ordinal, desktop in enumerate(chosen)
    ]


def _plan_prep(tools: Tools, job: Job, census: Census) -> _Plan:
    host = str(job.options["host"])
    name = f"prep-{job.guid.strip('{}')[:8].lower()}"
    uuid = placement.make_uuid(job.guid, name)
    row = JobDesktop(
        job=job.guid,
        ordinal=0,
        name=name,
        host=host,
        uuid=uuid,
        mac=placement.make_mac(uuid, census.macs),
        image=str(job.options["parent"]),
        disk_kind=DiskKind.LINKED,
        generation=1,
        was_running=_runs(census, host, str(job.options["vm"])),
    )
    return [row], None


_PLANS: Mapping[JobAction, Callable[[Tools, Job, Census], _Plan]] = {
    JobAction.CREATE: _plan_making,
    JobAction.UPDATE: _plan_making,
    JobAction.PATCH: _plan_patch,
    JobAction.DELETE: _plan_delete,
    JobAction.PREP: _plan_prep,
}


def get_settings(store: ports.Store, alias: str) -> ProvisioningSettings:
    """InvalidOperation before the first Create job of the collection."""
    settings = store.find_provisioning(alias)
    if settings is None:
        raise errors.InvalidOperation(f"collection {alias!r} had no Create job yet")
    return settings


def select_desktops(store: ports.Store, document: JobDocument) -> list[Desktop]:
    """The desktops that a Delete or Patch means: those named, or all.

    A Delete takes those that were made for the collection, former members too unless another
    collection has them now; a Patch the members. Adopted VMs are never meant. NotFound names
    what does not match: an unknown name must not turn into "all".
    """
    alias = document.collection.casefold()
    owners = {alias} if document.action is JobAction.PATCH else {alias, ""}
    made = [
        desktop
        for desktop in store.list_desktops(home=alias)
        if desktop.collection.casefold() in owners
    ]
    if not document.selected:
        return made
    by_name = {desktop.name.casefold(): desktop for desktop in made}
    _check_known(document.selected, by_name)
    return list({name.casefold(): by_name[name.casefold()] for name in document.selected}.values())


def _check_known(names: Iterable[str], known: Mapping[str, Desktop]) -> None:
    unknown = [name for name in names if name.casefold() not in known]
    if unknown:
        raise errors.NotFound(f"SelectedVm: the collection has no desktop {', '.join(unknown)}")


def settings_after(store: ports.Store, job: Job) -> ProvisioningSettings | None:
    """What the collection remembers once the job has completed; None for no change."""
    if job.action not in (JobAction.UPDATE, JobAction.PATCH):
        return None
    settings = get_settings(store, job.collection)
    location = parse_job(job.document).base_vm_location or settings.base_vm_location
    return replace(settings, base_vm_location=location, image=str(job.options["image"]))
