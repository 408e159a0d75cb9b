"""What must be right before a job is accepted. Nothing changes, but that a file is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import uuid4

from openrdms import ports
from openrdms.model import errors
from openrdms.model.collection import (
    IDLE_STATES,
    Collection,
    CollectionState,
    CollectionType,
    ProvisioningSettings,
)
from openrdms.model.host import DiskKind, VmInfo, VmState
from openrdms.model.image import GuestOs, ImageVersion
from openrdms.model.job import RUNNING_STATE, Job, JobAction
from openrdms.model.provisioning import MAX_VALUE, JobDocument
from openrdms.services.hosts import Hosts
from openrdms.services.images import Images
from openrdms.services.provisioning import planning
from openrdms.services.provisioning.census import Surveyor, resolve_hosts
from openrdms.services.provisioning.placement import require_room

_DISK_KINDS = {
    CollectionType.POOLED: DiskKind.LINKED,
    CollectionType.MANUAL_PERSONAL: DiskKind.FULL,
    CollectionType.AUTO_PERSONAL: DiskKind.FULL,
}
"""VhdType by collection type (facts c.1)."""

_NAME_LENGTH = {GuestOs.WINDOWS: 15, GuestOs.LINUX: 63}
"""Longest computer name: NetBIOS, and a label of a host name (RFC 1035)."""


@dataclass(frozen=True)
class PrepRequest:
    """What ProvisioningPrepJob asks for, as far as it is needed."""

    collection: str
    host: str
    vm: str
    export_to: str
    sysprep: bool


class Acceptance:
    """The rules, over the records, hosts and images of this moment."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        images: Images,
        *,
        is_away: Callable[[str], bool] = lambda host: False,
        dry: bool = False,
    ) -> None:
        """A host that ``is_away`` is not asked. ``dry``: no image file is imported."""
        self._store = store
        self._hosts = hosts
        self._resolve = images.foresee if dry else images.resolve
        self._surveyor = Surveyor(store, hosts, is_away=is_away)

    def make_job(
        self,
        document: JobDocument,
        text: str,
        now: datetime,
        states: frozenset[CollectionState] = IDLE_STATES,
        *,
        new: Collection | None = None,
    ) -> tuple[Job, ProvisioningSettings | None]:
        """The job to accept and, for a Create, the settings that its collection gets.

        The collection must be in one of ``states``; a ``new`` one is not on record yet.
        NotFound, InvalidOperation, InvalidParameter, HostUnavailable say what is wrong.
        """
        collection = new or self._get_collection(document, states)
        document = replace(document, collection=collection.alias)
        job = Job(
            guid=_new_guid(),
            collection=collection.alias,
            action=document.action,
            state=RUNNING_STATE[document.action],
            document=text,
            options={"on_error": str(document.on_error), "start": document.start},
            started=now,
            modified=now,
        )
        if document.makes_desktops:
            return self._accept_making(job, document, collection)
        job.options["requested"] = len(planning.select_desktops(self._store, document))
        if document.action is JobAction.PATCH:
            image = self._accept_patch(document, collection)
            job.options["image"] = image.reference
        return job, None

    def _get_collection(
        self, document: JobDocument, states: frozenset[CollectionState]
    ) -> Collection:
        collection = self._store.find_collection(document.collection)
        if collection is None:
            raise errors.NotFound(f"Name: there is no collection {document.collection!r}")
        if not collection.is_managed:
            raise errors.InvalidOperation(f"collection {collection.alias!r} is not managed")
        if collection.state not in states:
            raise errors.InvalidOperation(
                f"collection {collection.alias!r} takes no job in state {collection.state.name}"
            )
        return collection

    def _accept_making(
        self, job: Job, document: JobDocument, collection: Collection
    ) -> tuple[Job, ProvisioningSettings | None]:
        if document.disk_kind is not _DISK_KINDS[collection.type]:
            expected = _DISK_KINDS[collection.type]
            raise errors.InvalidParameter("VhdType", f"this type of collection takes {expected}")
        stored = None
        if document.action is JobAction.UPDATE:
            stored = planning.get_settings(self._store, collection.alias)
        prefix = self._check_prefix(document, stored)
        census = self._surveyor.take(wanted=document.hosts)
        wanted = resolve_hosts(document.hosts, self._hosts, census)
        require_room(wanted, census.rooms, 0)
        count = sum(number for _, number in wanted)
        start = max(document.start_index, stored.name_start_index if stored else 0)
        longest = len(f"{prefix}{start + count - 1}")
        # before the image, since choosing a file imports it, for Linux
        _check_length(longest, GuestOs.LINUX)
        image = self._choose_image(document, stored)
        if document.start:
            require_room(wanted, census.rooms, image.memory_mib)
        _check_length(longest, image.os)
        job.options.update(image=image.reference, requested=count)
        return job, None if stored else _first_settings(document, image)

    def _check_prefix(self, document: JobDocument, stored: ProvisioningSettings | None) -> str:
        """The prefix of the collection's names, unique among collections ignoring case."""
        prefix = document.name_prefix
        if stored:
            if prefix and prefix.casefold() != stored.name_prefix.casefold():
                raise errors.InvalidParameter(
                    "NamingPrefix", f"the collection's is {stored.name_prefix!r}"
                )
            return stored.name_prefix
        for other in self._store.list_collections():
            settings = self._store.find_provisioning(other.alias)
            taken = settings is not None and settings.name_prefix.casefold() == prefix.casefold()
            if taken and other.alias != document.collection:
                raise errors.InvalidParameter(
                    "NamingPrefix", f"{prefix!r} is that of collection {other.alias!r}"
                )
        return prefix

    def _choose_image(
        self, document: JobDocument, stored: ProvisioningSettings | None
    ) -> ImageVersion:
        """An Update that names what the Create named means the version that the Create took."""
        location = document.base_vm_location
        if stored and location in ("", stored.base_vm_location):
            location = f"image:{stored.image}"
        return self._resolve(location)

    def _accept_patch(self, document: JobDocument, collection: Collection) -> ImageVersion:
        if collection.type is not CollectionType.POOLED:
            raise errors.InvalidOperation(
                "only desktops of pooled collections (Type 1) are patched"
            )
        if document.disk_kind is not DiskKind.LINKED:
            raise errors.InvalidParameter("VhdType", f"a Patch takes {DiskKind.LINKED}")
        stored = planning.get_settings(self._store, collection.alias)
        return self._resolve(document.base_vm_location or stored.base_vm_location)

    def make_prep_job(self, request: PrepRequest, now: datetime) -> Job:
        """The job to accept. NotFound names the host or VM."""
        if not request.export_to.strip() or len(request.export_to) > MAX_VALUE:
            raise errors.InvalidParameter("ExportToLocation", f"1 to {MAX_VALUE} characters")
        host = self._hosts.get(request.host)
        vm = host.find_vm(request.vm)
        if vm is None:
            raise errors.NotFound(f"VMName: {host.name} has no VM {request.vm!r}")
        if vm.state in (VmState.PAUSED, VmState.SAVED):
            state = vm.state.name.lower()
            raise errors.InvalidOperation(f"VMName: {vm.name} is {state}: start or stop it first")
        self._check_unused(vm)
        return Job(
            guid=_new_guid(),
            collection=request.collection,
            action=JobAction.PREP,
            state=CollectionState.CREATE_VIRTUAL_DESKTOP_INPROGRESS,
            document="",
            options=self._describe(vm)
            | {"export_to": request.export_to, "sysprep": request.sysprep, "requested": 1},
            started=now,
            modified=now,
        )

    def _check_unused(self, vm: VmInfo) -> None:
        for job in self._store.list_jobs(running=True):
            rows = self._store.list_job_desktops(job.guid)
            if job.options.get("vm") == vm.name or any(
                (row.host, row.name.casefold()) == (vm.host, vm.name.casefold()) for row in rows
            ):
                raise errors.InvalidOperation(f"VM {vm.name} is in work by job {job.guid}")

    def _describe(self, vm: VmInfo) -> dict[str, str | int | bool]:
        """What the copy needs to run. ``parent`` is the image of a VM that was made by us."""
        record = self._store.find_desktop(vm.name)
        ours = record is not None and record.uuid == vm.uuid and not record.adopted
        return {
            "vm": vm.name,
            "host": vm.host,
            "parent": record.image if record and ours else "",
            "os": str(vm.os),
            "firmware": str(vm.firmware),
            "disk_bus": str(vm.disk_bus),
            "memory_mib": vm.memory_mib,
            "vcpus": vm.vcpus,
        }


def _check_length(longest: int, os: GuestOs) -> None:
    if longest > _NAME_LENGTH[os]:
        limit = f"names of {longest} characters, {os} takes {_NAME_LENGTH[os]}"
        raise errors.InvalidParameter("NamingPrefix", limit)


def _new_guid() -> str:
    return f"{{{uuid4()}}}".upper()


def _first_settings(document: JobDocument, image: ImageVersion) -> ProvisioningSettings:
    return ProvisioningSettings(
        vhd_type=document.disk_kind,
        base_vm_location=document.base_vm_location,
        image=image.reference,
        name_prefix=document.name_prefix,
        name_start_index=document.start_index,
        local_vm_location=document.local_vm_path,
        local_gold_location=document.local_gold_path,
        run_from_smb=document.run_from_smb,
        smb_location=document.smb_share,
        smb_streaming=document.streaming,
        domain=document.domain,
        ou=document.ou,
        unattend_xml=document.unattend_xml,
    )
