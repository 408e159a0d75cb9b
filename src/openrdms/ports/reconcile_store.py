"""What comparing hosts with records asks of the records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from openrdms.model.desktop import Desktop
from openrdms.model.reconcile import Known


class ReconcileStore(Protocol):
    """Host names are compared ignoring case, in the form that records have."""

    def read_known(self, host: str) -> Known:
        """What records say about one host, all of one moment."""

    def list_desktop_hosts(self) -> list[str]:
        """Every host that has desktops on record."""

    def list_unexplained(self, names: Iterable[str]) -> frozenset[str]:
        """Of these names those, case folded, that no record and no running job has."""

    def record_found(self, desktop: Desktop, reason: str, now: datetime) -> bool:
        """Record a desktop that was found on a host, quarantined for that reason.

        With the MAC and the kind of disk that an ended job had for this VM, if one did. False,
        and nothing written, when a record or a running job has its name.
        """

    def forget_desktops(self, host: str) -> list[str]:
        """Delete the records of all desktops of a host; returns their names."""
