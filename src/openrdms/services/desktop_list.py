"""Pages of desktops: from records, with the run states of those that are shown.

Hosts get a moment to say in which state their VMs are. One that is away, or has not answered the
question before, is not asked: its desktops are shown without.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import structlog

from openrdms import ports
from openrdms.jobs.threads import Threads
from openrdms.model import errors
from openrdms.model.desktop_list import DesktopQuery, DesktopRow, UseCount
from openrdms.model.host import VmInfo, VmState
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts

_PATIENCE = 1.0

_log = structlog.get_logger(__name__)


class ListedDesktop(NamedTuple):
    """``vm`` is None where the host does not tell, or has no such VM."""

    row: DesktopRow
    vm: VmInfo | None

    @property
    def state(self) -> VmState:
        """UNKNOWN without ``vm``."""
        return self.vm.state if self.vm else VmState.UNKNOWN


class _Answers:
    """What hosts have said so far."""

    def __init__(self, asked: int) -> None:
        self._left = asked
        self._said: dict[str, VmInfo] = {}
        self._changed = threading.Condition()

    def add(self, vms: Mapping[str, VmInfo]) -> None:
        with self._changed:
            self._said.update(vms)
            self._left -= 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> Mapping[str, VmInfo]:
        """By name, of all hosts that have answered by then."""
        with self._changed:
            self._changed.wait_for(lambda: self._left <= 0, seconds)
            return dict(self._said)


class DesktopList:
    """Safe from any thread."""

    def __init__(self, store: ports.Store, hosts: Hosts, health: HostHealth) -> None:
        self._store = store
        self._hosts = hosts
        self._health = health
        self._threads = Threads("run-states")
        self._silent: dict[str, float] = {}

    def page(self, query: DesktopQuery, after: str, limit: int) -> list[ListedDesktop]:
        """As ports.DesktopListStore.list_rows, each with its run state."""
        rows = self._store.list_rows(query, after, limit)
        vms = self._find_vms(rows)
        return [ListedDesktop(row, vms.get(row.name)) for row in rows]

    def rows(self, query: DesktopQuery, after: str, limit: int) -> Sequence[DesktopRow]:
        """As ``page``, without asking hosts."""
        return self._store.list_rows(query, after, limit)

    def get(self, name: str) -> ListedDesktop:
        """NotFound."""
        found = self._store.find_row(name)
        if found is None:
            raise errors.NotFound(f"no collection has a desktop called {name!r}")
        return ListedDesktop(found, self._find_vms([found]).get(found.name))

    def count(self, query: DesktopQuery) -> int:
        """How many there are."""
        return self._store.count_rows(query)

    def tally(self) -> Sequence[UseCount]:
        """How many desktops have which use, by collection and host."""
        return self._store.tally_uses()

    def _find_vms(self, rows: Iterable[DesktopRow]) -> Mapping[str, VmInfo]:
        wanted: dict[str, list[str]] = {}
        for row in rows:
            wanted.setdefault(row.host, []).append(row.name)
        asked = [(host, wanted[name]) for name in wanted if (host := self._find_host(name))]
        answers = _Answers(len(asked))
        for host, names in asked:
            self._silent.setdefault(host.name, time.monotonic())
            self._threads.run(self._ask, host, names, answers)
        return answers.wait(_PATIENCE)

    def _find_host(self, name: str) -> ports.Host | None:
        """One that can be asked now. One that others have just asked can, too: only who has been
        silent for longer than anybody waits is left alone.
        """
        host = self._hosts.find(name)
        if host is None or self._health.is_away(host.name):
            return None
        since = self._silent.get(host.name)
        return host if since is None or time.monotonic() - since < _PATIENCE else None

    def _ask(self, host: ports.Host, names: Sequence[str], answers: _Answers) -> None:
        vms: dict[str, VmInfo] = {}
        try:
            for name in names:
                vm = host.find_vm(name)
                if vm:
                    vms[name] = vm
        except errors.RdmsError as error:
            _log.info("run states are not known", host=host.name, reason=str(error))
        except Exception:  # noqa: BLE001  nothing may keep the page waiting
            _log.exception("defect", host=host.name)
        self._silent.pop(host.name, None)
        answers.add(vms)
