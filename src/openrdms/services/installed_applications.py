"""What is installed in the desktops of a collection, for those who publish it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop
from openrdms.model.host import InstalledApplication, VmState
from openrdms.services.desktops import is_member
from openrdms.services.hosts import Hosts

_SECONDS = 20.0
"""What a guest gets to list its applications."""

_MOST_ASKED = 3
"""Running desktops of a collection that are asked, one after the other, until one answers."""


@dataclass(frozen=True)
class Installed:
    """The desktop that was asked, and its applications in order of name."""

    desktop: str
    applications: Sequence[InstalledApplication]


class InstalledApplications:
    """Enters guests of desktops on record only."""

    def __init__(self, store: ports.Store, hosts: Hosts) -> None:
        self._store = store
        self._hosts = hosts

    def list(self, alias: str, desktop: str | None = None) -> Installed:
        """Of that desktop of a collection, or of one of its desktops that runs.

        NotFound; InvalidOperation for a collection of sessions or where no desktop runs;
        VmNotRunning, GuestUnreachable, HostUnavailable, OperationFailed.
        """
        self._check_collection(alias)
        if desktop is not None:
            record = self._get_member(alias, desktop)
            return _ask(record.name, self._open(record))
        refusal: errors.RdmsError | None = None
        for name, guest in islice(self._find_running(alias), _MOST_ASKED):
            try:
                return _ask(name, guest)
            except (errors.SessionError, errors.HostUnavailable) as error:
                refusal = error
        raise refusal or errors.InvalidOperation(f"no desktop of collection {alias!r} is running")

    def _check_collection(self, alias: str) -> None:
        if self._store.find_collection(alias):
            return
        if self._store.find_session_collection(alias):
            raise errors.InvalidOperation(
                f"{alias!r} is a collection of sessions; only virtual desktops can be asked"
            )
        raise errors.NotFound(f"there is no collection {alias!r}")

    def _get_member(self, alias: str, name: str) -> Desktop:
        record = self._store.find_desktop(name)
        if record is None or not is_member(record, alias):
            raise errors.NotFound(f"collection {alias!r} has no desktop {name!r}")
        return record

    def _find_running(self, alias: str) -> Iterator[tuple[str, ports.Guest]]:
        for record in self._store.list_desktops(alias):
            with suppress(errors.NotFound, errors.VmNotRunning, errors.HostUnavailable):
                yield record.name, self._open(record)

    def _open(self, record: Desktop) -> ports.Guest:
        host = self._hosts.get(record.host)
        vm = host.find_vm(record.name)
        if vm is None or vm.uuid != record.uuid:
            raise errors.NotFound(f"host {host.name} does not have desktop {record.name!r}")
        if vm.state is not VmState.RUNNING:
            raise errors.VmNotRunning(f"{record.name} is not running")
        return host.guest(vm.name)


def _ask(desktop: str, guest: ports.Guest) -> Installed:
    found = guest.list_applications(_SECONDS)
    return Installed(desktop, sorted(found, key=lambda one: one.name.casefold()))
