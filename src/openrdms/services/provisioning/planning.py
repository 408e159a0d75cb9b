"""The plan of a job: its rows, made once from the document, the records and the hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from openrdms import ports
from openrdms.model import errors
from openrdms.model.collection import NO_DOMAIN, ProvisioningSettings
from openrdms.model.desktop import Desktop
from openrdms.model.host import LIVE, DiskKind, VmSummary
from openrdms.model.image import ImageVersion
from openrdms.model.job import Job, JobAction, JobDesktop
from openrdms.model.provisioning import JobDocument, parse_job
from openrdms.model.reason import ReasonCode
from openrdms.model.rollout import assign_waves, rank
from openrdms.services.provisioning import placement
from openrdms.services.provisioning.census import (
    Surveyor,
    find_names,
    list_all_vms,
    resolve_hosts,
)
from openrdms.services.provisioning.work import Tools

_NAME_ATTEMPTS = 5
"""How often names that another job took meanwhile are chosen anew."""


def plan_job(tools: Tools, job: Job) -> None:
    """Decide and record what the job does to which desktop. Repeating it changes nothing.

    Call it while holding ``tools.planning``: from the census until what it grants is on record, no
    other job may be planned. Raises what makes the job impossible by now: a host gone, no room
    left.
    """
    planning = Planning(tools, tools.images.resolve)
    for attempt in range(1, _NAME_ATTEMPTS + 1):
        rows, next_index = planning.make(job)
        try:
            tools.store.add_job_desktops(rows, next_index)
        except errors.AlreadyExists:
            if attempt == _NAME_ATTEMPTS:
                raise
        else:
            return


class Rows(NamedTuple):
    """The rows of a plan; ``next_index`` is what the collection's NameStartIndex becomes."""

    rows: list[JobDesktop]
    next_index: int | None


class Planning:
    """Makes plans; records nothing."""

    def __init__(self, tools: Tools, resolve: Callable[[str], ImageVersion]) -> None:
        """``resolve`` finds an image by ``image:NAME@VERSION``."""
        self._store = tools.store
        self._hosts = tools.hosts
        self._resolve = resolve
        self._require = tools.health.require
        self._is_away = tools.health.is_away
        self._surveyor = Surveyor(
            tools.store,
            tools.hosts,
            is_away=tools.health.is_away,
            is_degraded=tools.tokens.is_degraded,
        )

    def make(self, job: Job, settings: ProvisioningSettings | None = None) -> Rows:
        """What ``job`` would do now. ``settings`` are those that a Create gives its collection,
        as long as they are not on record.
        """
        if job.action is JobAction.PREP:
            return self._plan_prep(job)
        document = parse_job(job.document)
        if job.action is JobAction.DELETE:
            return Rows(self._existing(job, document), None)
        settings = settings or get_settings(self._store, job.collection)
        if job.action is JobAction.PATCH:
            return self._plan_patch(job, document, settings)
        return self._plan_making(job, document, settings)

    def _plan_making(self, job: Job, document: JobDocument, settings: ProvisioningSettings) -> Rows:
        image = self._resolve(f"image:{job.options['image']}")
        census = self._surveyor.take(image, wanted=document.hosts, without_job=job.guid)
        wanted = resolve_hosts(document.hosts, self._hosts, census)
        need = image.memory_mib if document.start else 0
        places = placement.place(wanted, census.rooms, need)
        start = max(document.start_index, settings.name_start_index)
        in_use = self._store.list_names_in_use(job.guid)
        names, next_index = self._choose_names(
            settings.name_prefix, start, places, {name for name, _ in in_use}
        )
        identities = placement.make_identities(job.guid, names, {mac for _, mac in in_use})
        rows = [
            JobDesktop(
                job=job.guid,
                ordinal=ordinal,
                name=name,
                host=place.host,
                uuid=uuid,
                mac=mac,
                image=str(job.options["image"]),
                disk_kind=DiskKind(settings.vhd_type),
                generation=1,
                notes=_not_joined(document.domain or settings.domain),
                reason=place.reason,
            )
            for ordinal, (place, name, (uuid, mac)) in enumerate(
                zip(places, names, identities, strict=True)
            )
        ]
        return Rows(rows, next_index)

    def _choose_names(
        self, prefix: str, start: int, places: Sequence[placement.Place], taken: set[str]
    ) -> tuple[list[str], int]:
        """Names that no VM has either; hosts are asked for those that come into question."""
        chosen = {place.host for place in places}
        while True:
            names, next_index = placement.choose_names(prefix, start, len(places), taken)
            folded = {name.casefold() for name in names}
            answering = [one for one in self._hosts.all() if not self._is_away(one.name)]
            there = find_names(answering, min(folded), max(folded), chosen)
            if not folded & there:
                return names, next_index
            taken |= there

    def _plan_patch(self, job: Job, document: JobDocument, settings: ProvisioningSettings) -> Rows:
        existing = self._existing(job, document)
        running, silent = self._list_running({row.host for row in existing})
        rows = [
            replace(
                row,
                image=str(job.options["image"]),
                generation=row.generation + 1,
                previous=row.generation,
                previous_image=row.image,
                was_running=row.host in silent or (row.host, row.name.casefold()) in running,
                notes=_not_joined(settings.domain),
            )
            for row in existing
        ]
        uses = {use.name: use.use for use in self._store.list_uses(job.collection)}
        ranks = [rank(uses.get(row.name), runs=row.was_running) for row in rows]
        waves = assign_waves(ranks, document.waves)
        return Rows([replace(row, wave=w) for row, w in zip(rows, waves, strict=True)], None)

    def _list_running(self, hosts: Iterable[str]) -> tuple[set[tuple[str, str]], set[str]]:
        """Host and case-folded name of every VM that is live there, and hosts that cannot say.

        It is for the order alone: a desktop is looked at again when it is its turn.
        """
        running: set[tuple[str, str]] = set()
        silent: set[str] = set()
        for name in hosts:
            host = self._hosts.find(name)
            try:
                vms = self._list_vms(host) if host else ()
                running |= {(name, vm.name.casefold()) for vm in vms if vm.state in LIVE}
            except errors.HostUnavailable:
                silent.add(name)
        return running, silent

    def _list_vms(self, host: ports.Host) -> Iterator[VmSummary]:
        """HostUnavailable; at once when it is known to be away, as it may not even refuse."""
        self._require(host.name)
        yield from list_all_vms(host)

    def _plan_prep(self, job: Job) -> Rows:
        self._check_prepared_once(job)
        host = str(job.options["host"])
        name = f"prep-{job.guid.strip('{}')[:8].lower()}"
        uuid = placement.make_uuid(job.guid, name)
        copied = self._hosts.get(host).find_vm(str(job.options["vm"]))
        row = JobDesktop(
            job=job.guid,
            ordinal=0,
            name=name,
            host=host,
            uuid=uuid,
            mac=placement.make_mac(uuid, {m for _, m in self._store.list_names_in_use(job.guid)}),
            image=str(job.options["parent"]),
            disk_kind=DiskKind.LINKED,
            generation=1,
            was_running=copied is not None and copied.state in LIVE,
            reason=ReasonCode.AS_ASKED,
        )
        return Rows([row], None)

    def _check_prepared_once(self, job: Job) -> None:
        """Two services may have accepted jobs for one VM: who is planned first has it."""
        copied = (job.options["host"], job.options["vm"])
        for other in self._store.list_jobs(running=True):
            same = (other.options.get("host"), other.options.get("vm")) == copied
            if same and other.guid != job.guid and self._store.list_job_desktops(other.guid):
                raise errors.InvalidOperation(f"VM {copied[1]} is in work by job {other.guid}")

    def _existing(self, job: Job, document: JobDocument) -> list[JobDesktop]:
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
                reason=ReasonCode.AS_ASKED,
            )
            for ordinal, desktop in enumerate(select_desktops(self._store, document))
        ]


def _not_joined(domain: str) -> str:
    return "" if domain in ("", NO_DOMAIN) else f"not joined to {domain}"


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
