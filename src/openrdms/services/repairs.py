"""Mends what does not fit between a host and the records, one finding at a time.

Everything here is safe to repeat, and whatever is removed is on record until it is gone. A use is
changed only if it still is as it was when the finding was made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from uuid import uuid4

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import DiskKind, VmState
from openrdms.model.reason import render_reason
from openrdms.model.reconcile import Finding, Remedy, generation_of
from openrdms.services.desktop_uses import DesktopUses

_GUEST_SECONDS = 2.0

_log = structlog.get_logger(__name__)


class Repairs:
    """Safe from any thread."""

    def __init__(self, store: ports.Store, uses: DesktopUses, clock: ports.Clock) -> None:
        self._store = store
        self._uses = uses
        self._clock = clock

    def mend(self, host: ports.Host, finding: Finding) -> bool:
        """Do what the finding's remedy says. HostUnavailable, and what the host refuses.

        False when somebody has changed the desktop meanwhile: it should be looked at again.
        """
        remedies: dict[Remedy, Callable[[ports.Host, Finding], bool]] = {
            Remedy.QUARANTINE: self._quarantine,
            Remedy.GIVE_BACK: self._give_back,
            Remedy.RECORD: self._record,
            Remedy.REMOVE: self._remove,
            Remedy.DELETE_DISK: self._delete_disk,
        }
        remedy = remedies.get(finding.remedy)
        return remedy is None or remedy(host, finding)

    def _quarantine(self, _: ports.Host, finding: Finding) -> bool:
        """Nobody gets it from now on; then its status says so too."""
        apart = self._set_apart(finding)
        if apart:
            self._set_status(finding, DesktopStatus.FAILED)
        return apart

    def _set_apart(self, finding: Finding) -> bool:
        """Quarantine the use unless it has changed since it was looked at."""
        changed = self._uses.change(
            [finding.desktop],
            lambda now: self._apart(now, finding) if now == finding.use else None,
        )
        return bool(changed)

    def _apart(self, use: DesktopUse, finding: Finding) -> DesktopUse:
        return replace(
            use,
            use=Use.QUARANTINED,
            since=self._clock(),
            holder="",
            asked=False,
            seen=False,
            saved=False,
            reason=render_reason(finding.code, finding.words),
        )

    def _set_status(self, finding: Finding, status: DesktopStatus) -> None:
        def change(present: Desktop | None) -> Desktop | None:
            same = present and finding.record and present.uuid == finding.record.uuid
            return replace(present, status=status) if present and same else present

        self._store.change_desktop(finding.desktop, change)

    def _give_back(self, host: ports.Host, finding: Finding) -> bool:
        """What was lost is there: with a session in it, it is its user's again."""
        self._set_status(finding, DesktopStatus.SUCCESS)
        user = _find_user(host, finding.desktop)
        now = self._clock()

        def change(use: DesktopUse) -> DesktopUse | None:
            if use != finding.use:
                return None
            back = replace(use, use=Use.UNREADY, since=now, reason="")
            taken = {"use": Use.TAKEN, "holder": user, "seen": True, "turn": use.turn + 1}
            return replace(back, **taken) if user else back  # type: ignore[arg-type]  # its fields

        return bool(self._uses.change([finding.desktop], change))

    def _record(self, _: ports.Host, finding: Finding, **values: object) -> bool:
        """Put a stranger of ours on record, apart from all that is handed out."""
        record = replace(_stranger(finding), **values)  # type: ignore[arg-type]  # its fields
        reason = render_reason(finding.code, finding.words)
        return self._store.record_found(record, reason, self._clock())

    def _remove(self, host: ports.Host, finding: Finding) -> bool:
        """Record, then VM and disks, then the record; each may have been done before."""
        if finding.record is None:
            if not self._record(host, finding, status=DesktopStatus.FAILED):
                return False  # a job has just begun to use the name
        elif not self._set_apart(finding):
            return False
        record = self._store.find_desktop(finding.desktop)
        held = self._hold(record.name) if record else None
        if record and held:
            try:
                gone = self._erase(host, record, finding.disks)
            finally:
                self._let_go(held, Use.QUARANTINED)
            if gone:
                self._drop(record)
        return True

    def _erase(self, host: ports.Host, record: Desktop, disks: tuple[str, ...]) -> bool:
        """Whether VM and disks are gone: not when another VM has the name, or a job wants it."""
        vm = host.find_vm(record.name)
        if vm and (vm.uuid != record.uuid or vm.ownership is None or vm.ownership.adopted):
            return False
        steps: list[Callable[[], None]] = []
        if vm:
            steps += [partial(host.destroy, record.name), partial(host.undefine, record.name)]
        listed = [number for disk in disks if (number := generation_of(disk)) is not None]
        steps += [
            partial(host.delete_disk, record.name, generation)
            for generation in {record.generation, *listed}
        ]
        for step in steps:
            if not self._holds(record.name):
                return False
            step()
        return True

    def _drop(self, record: Desktop) -> None:
        def change(present: Desktop | None) -> Desktop | None:
            return None if present and present.uuid == record.uuid else present

        try:
            self._store.change_desktop(record.name, change, idle=True)
        except errors.InvalidOperation:
            return  # a job has it in hand: the record goes with that
        _log.info("removed what nobody finished making", desktop=record.name, host=record.host)

    def _delete_disk(self, host: ports.Host, finding: Finding) -> bool:
        """Of a desktop that nobody uses now; one that is in use is left for another time."""
        generation = generation_of(finding.name)
        if finding.use is None or generation is None or finding.use.use is Use.TAKEN:
            return True
        held = self._hold(finding.desktop, finding.use)
        if held:
            try:
                host.delete_disk(finding.desktop, generation)
            finally:
                self._let_go(held, finding.use.use)
            _log.info("deleted a disk out of use", disk=finding.name, host=host.name)
        return held is not None

    def _hold(self, name: str, was: DesktopUse | None = None) -> DesktopUse | None:
        """Take a desktop in hand as a pool does, so that jobs wait; None when one wants it."""

        def change(use: DesktopUse) -> DesktopUse | None:
            same = use == was if was else use.use is Use.QUARANTINED
            return replace(use, use=Use.PREPARING) if same and not use.claim else None

        held = self._uses.change([name], change)
        return held[0] if held else None

    def _holds(self, name: str) -> bool:
        use = self._store.find_use(name)
        return use is not None and use.use is Use.PREPARING and not use.claim

    def _let_go(self, held: DesktopUse, before: Use) -> None:
        self._uses.give_back(held, before, since=held.since, fresh=held.fresh)


def _find_user(host: ports.Host, vm: str) -> str:
    """The account that is logged on there, "" for nobody or when its guest does not tell."""
    info = host.find_vm(vm)
    if info is None or info.state is not VmState.RUNNING:
        return ""
    try:
        sessions = host.guest(vm).list_sessions(_GUEST_SECONDS)
    except errors.SessionError:
        return ""
    return sessions[0].account if sessions else ""


def _stranger(finding: Finding) -> Desktop:
    """The record of what was found: no member of any collection, of the home its maker named."""
    vm = finding.vm
    disks = vm.disks if vm else finding.disks
    generations = [generation_of(disk) or 0 for disk in disks]
    return Desktop(
        name=vm.name if vm else finding.desktop,
        host=finding.host,
        uuid=vm.uuid if vm else uuid4(),
        mac="",
        collection="",
        home=vm.maker if vm else "",
        image=vm.ownership.image if vm and vm.ownership else "",
        disk_kind=DiskKind.LINKED,
        generation=max(generations, default=0),
        status=DesktopStatus.UNKNOWN,
    )
