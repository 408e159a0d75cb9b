"""What a job would do, found by the code that plans jobs; nothing is recorded or changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop_use import Use
from openrdms.model.host import DiskKind
from openrdms.model.image import ImageVersion
from openrdms.model.job import Job, JobAction, JobDesktop
from openrdms.model.plan import Plan, PlannedDesktop, PlannedHost, refuse
from openrdms.model.provisioning import JobDocument, parse_job
from openrdms.services.provisioning.acceptance import Acceptance
from openrdms.services.provisioning.estimates import Share, estimate, share_out
from openrdms.services.provisioning.planning import Planning
from openrdms.services.provisioning.work import Tools

OVERLAY_BYTES = 256 << 10
"""A new overlay: header, refcounts and level 1 table in clusters of 64 KiB (QEMU, qcow2.txt)."""

_TYPES = {DiskKind.LINKED: CollectionType.POOLED, DiskKind.FULL: CollectionType.MANUAL_PERSONAL}


class Planner:
    """Safe from any thread."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._acceptance = Acceptance(
            tools.store, tools.hosts, tools.images, is_away=tools.health.is_away, dry=True
        )

    def plan(
        self, text: str, *, new: bool = False, patient: bool = False, stay: float = 0.0
    ) -> Plan:
        """What the job in ``text`` would do now, or why it would be refused.

        ``new``: its collection would be created first. ``patient``: an update waits for users, and
        logs nobody off; else they may ``stay`` for so many seconds. InvalidParameter when it is no
        job.
        """
        document = parse_job(text)
        patient = patient and document.action is JobAction.PATCH
        try:
            return self._plan(document, text, new=new, stay=None if patient else stay)
        except errors.RdmsError as error:
            return refuse(document.collection, document.action, error)

    def _plan(self, document: JobDocument, text: str, *, new: bool, stay: float | None) -> Plan:
        job, settings = self._acceptance.make_job(
            document, text, self._tools.clock(), new=self._foresee(document) if new else None
        )
        image = self._find_image(document, job)
        planning = Planning(self._tools, lambda location: image or self._resolve(location))
        rows = planning.make(job, settings).rows
        shares = share_out(job, rows)
        linked = all(row.disk_kind is DiskKind.LINKED for row in rows)
        measured = [self._measure(*share, image, linked=linked) for share in shares.items()]
        lacking = [host.name for host, _ in measured if host.copy_bytes]
        expected = estimate(self._tools, job, rows, stay=stay, lacking=lacking)
        return Plan(
            collection=job.collection,
            action=job.action,
            image=image.reference if image else "",
            seconds=expected.seconds,
            basis=expected.basis,
            warnings=tuple(words for _, warning in measured for words in warning),
            hosts=tuple(host for host, _ in measured),
            desktops=tuple(self._describe(job, rows, patient=stay is None)),
        )

    def _foresee(self, document: JobDocument) -> Collection:
        """The collection that would be made. AlreadyExists."""
        alias = document.collection
        if self._tools.store.find_collection(alias):
            raise errors.AlreadyExists(f"there is a collection {alias!r}")
        return Collection(alias, alias, _TYPES[document.disk_kind], is_managed=True)

    def _find_image(self, document: JobDocument, job: Job) -> ImageVersion | None:
        """What desktops are made of, None for a Delete; a file not imported yet has version 0."""
        reference = str(job.options.get("image", ""))
        if not reference:
            return None
        imported = not reference.endswith("@0")
        location = f"image:{reference}" if imported else document.base_vm_location
        return self._tools.images.foresee(location)

    def _resolve(self, location: str) -> ImageVersion:
        return self._tools.images.resolve(location)

    def _measure(
        self, name: str, share: Share, image: ImageVersion | None, *, linked: bool
    ) -> tuple[PlannedHost, list[str]]:
        """What a host would get, and warnings. What it has left one that is away does not tell."""
        host = self._tools.hosts.get(name)
        planned = PlannedHost(
            name=name,
            desktops=share.desktops,
            bytes_at_first=0,
            bytes_at_most=share.desktops * image.virtual_bytes if image else 0,
            free_bytes=0,
            memory_mib=share.started * image.memory_mib if image else 0,
        )
        try:
            self._tools.health.require(host.name)
            copy = image is not None and not host.has_image(image)
            free = host.describe().free_bytes
        except errors.HostUnavailable as error:
            return planned, [f"{name} is away and waited for: {error}"]
        whole = image.disk.stat().st_size if image else 0
        first = share.desktops * (0 if image is None else OVERLAY_BYTES if linked else whole)
        copied = whole if copy else 0
        need = first + copied
        few = [f"{name} has {free} bytes free, and needs {need} at first"] if need > free else []
        return replace(planned, bytes_at_first=first, free_bytes=free, copy_bytes=copied), few

    def _describe(
        self, job: Job, rows: Iterable[JobDesktop], *, patient: bool
    ) -> Iterator[PlannedDesktop]:
        taken = self._tools.store.list_uses(job.collection, use=Use.TAKEN)
        users = {use.name.casefold(): use.holder for use in taken}
        for row in rows:
            user = users.get(row.name.casefold(), "")
            wave = row.wave + 1 if job.action is JobAction.PATCH else 0
            planned = PlannedDesktop(row.name, row.host, row.reason, note=row.notes, wave=wave)
            yield replace(planned, awaited=user) if patient else replace(planned, user=user)
