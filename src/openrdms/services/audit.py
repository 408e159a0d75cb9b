"""Audit: what is left over on the hosts, and what our records claim that is not there.

Records are read before and after the hosts. Only what both readings agree on is reported, so
jobs that begin or end while the audit looks cause no false finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from openrdms import ports
from openrdms.model import errors, reconcile
from openrdms.model.desktop_use import Use
from openrdms.model.reason import parse_reason
from openrdms.model.reconcile import Finding, Inventory, Remedy
from openrdms.services.hosts import Hosts


@dataclass(frozen=True)
class Orphan:
    """A thing nobody accounts for. ``kind`` is that of a Leftover, or ``record``.

    ``code`` is a ReasonCode, ``reason`` says the same in words, ``remedy`` what the service does
    about it by itself (model.reconcile.Remedy).
    """

    host: str
    kind: str
    name: str
    reason: str
    code: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Findings:
    """``unreachable`` names hosts that could not be asked; nothing is said about these."""

    orphans: list[Orphan] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SetApart:
    """A desktop on record that nobody gets. ``code`` is "" when no ReasonCode was given."""

    name: str
    host: str
    collection: str
    code: str
    reason: str
    since: datetime


class Audit:
    """Compares hosts with records."""

    def __init__(self, store: ports.Store, hosts: Hosts) -> None:
        self._store = store
        self._hosts = hosts

    def find_orphans(self) -> Findings:
        """Everything of ours that no record or running job explains, and records without a VM.

        A VM of which membership was taken (RemoveVirtualDesktop) has its record still and is
        explained; an adopted VM is never reported.
        """
        findings = Findings()
        for host in self._hosts.all():
            try:
                findings.orphans.extend(_orphans(compare(self._store, host)))
            except errors.HostUnavailable:
                findings.unreachable.append(host.name)
        named = self._store.list_desktop_hosts()
        findings.unreachable.extend(host for host in named if self._hosts.find(host) is None)
        return findings

    def list_set_apart(self) -> list[SetApart]:
        """Every desktop that is quarantined, and why."""
        apart = []
        for use in self._store.list_uses(use=Use.QUARANTINED):
            code, words = parse_reason(use.reason)
            apart.append(SetApart(use.name, use.host, use.collection, code, words, use.since))
        return apart


def compare(store: ports.Store, host: ports.Host) -> list[Finding]:
    """What does not fit on one host. HostUnavailable."""
    before = store.read_known(host.name)
    inventory = look_at(host)
    return reconcile.compare(inventory, before, store.read_known(host.name))


def look_at(host: ports.Host) -> Inventory:
    """What a host has. HostUnavailable when it cannot be asked."""
    leftovers = tuple(host.list_leftovers())
    return Inventory(host.name, {vm.name.casefold(): vm for vm in host.list_vms()}, leftovers)


def _orphans(findings: list[Finding]) -> Iterator[Orphan]:
    for finding in findings:
        adopted = finding.kind == "record" and finding.record and finding.record.adopted
        if finding.remedy is not Remedy.GIVE_BACK and not adopted:
            yield Orphan(
                finding.host,
                finding.kind,
                finding.name,
                finding.words,
                finding.code,
                finding.remedy,
            )
