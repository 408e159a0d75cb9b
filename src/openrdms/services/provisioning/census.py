"""How much room hosts have at the moment a job is accepted or planned.

What the plans of running jobs hold counts as taken: those rows are the reservation, and so are
desktops on their way to another host. A desktop that is planned and a VM that its host has already
are known by their name to be the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from concurrent.futures import Future, as_completed, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from openrdms import ports
from openrdms.model import errors
from openrdms.model.host import LIVE, VmSummary
from openrdms.model.image import ImageVersion
from openrdms.model.job import Job, JobAction
from openrdms.model.provisioning import HostAllocation
from openrdms.services.hosts import Hosts
from openrdms.services.provisioning.placement import Room

_T = TypeVar("_T")

_PAGE = 1000

_PATIENCE_SECONDS = 2.0
"""For hosts that nobody named, once one has answered: who hangs may not be known to be away yet."""

_NAMES_SECONDS = 0.25
"""The same, of those that are asked for nothing but the names they have: no desktop comes there."""


@dataclass(frozen=True)
class Census:
    """``rooms`` of the hosts that take desktops now.

    ``silent`` hosts did not answer; ``closed`` ones are no VM hosts of the deployment now.
    """

    rooms: tuple[Room, ...]
    silent: frozenset[str]
    closed: frozenset[str]


class Surveyor:
    """Takes censuses: what hosts say, and what plans hold. Changes nothing."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        *,
        is_away: Callable[[str], bool] = lambda host: False,
        is_degraded: Callable[[str], bool] = lambda host: False,
    ) -> None:
        """A host that ``is_away`` is not asked: it may not even refuse."""
        self._store = store
        self._hosts = hosts
        self._is_away = is_away
        self._is_degraded = is_degraded

    def take(
        self,
        image: ImageVersion | None = None,
        *,
        wanted: Iterable[HostAllocation] = (),
        without_job: str = "",
    ) -> Census:
        """Of hosts ``wanted``, or all where the choice is open, and whether they have ``image``.

        One job's own plan is left out. Hosts that are named are waited for (``ask_at_once``).
        """
        reserved = self._reservations(without_job)
        unwilling = {n.fqdn.casefold() for n in self._store.list_nodes() if not n.takes_desktops}
        unwilling |= self._drained()
        hosts = self._hosts.all()
        closed = frozenset(host.name for host in hosts if host.name.casefold() in unwilling)
        allowed = {one.host for one in wanted} or {""}
        named = {host.name for host in map(self._hosts.find, allowed - {""}) if host}
        asked = [host for host in hosts if "" in allowed or host.name in named]
        rooms = ask_at_once(
            asked,
            lambda host: self._measure(host, image, reserved.get(host.name.casefold(), {})),
            named,
            _PATIENCE_SECONDS,
        )
        silent = frozenset(host.name for host in asked if host.name not in rooms)
        willing = tuple(room for name, room in rooms.items() if name not in closed)
        return Census(willing, silent, closed)

    def measure(self, host: ports.Host) -> Room:
        """Of one host, be it one that takes desktops or not. HostUnavailable."""
        reserved = self._reservations("")
        return self._measure(host, None, reserved.get(host.name.casefold(), {}))

    def _drained(self) -> set[str]:
        names = [host.name for host in self._hosts.all()]
        return {name.casefold() for name in names if self._store.find_host_settings(name).drain}

    def _reservations(self, without_job: str) -> Mapping[str, Mapping[str, int]]:
        """By host: desktops that running jobs have planned, or that are coming from another host,
        and the memory of each in MiB, 0 for those that stay off. All names are case-folded.
        """
        found: dict[str, dict[str, int]] = {}
        for desktop in self._store.list_moving():
            coming = found.setdefault(desktop.moving_to.casefold(), {})
            coming[desktop.name.casefold()] = self._memory_of(desktop.image)
        for job in self._store.list_jobs(running=True):
            if job.guid == without_job or job.action is JobAction.DELETE:
                continue
            memory: dict[str, int] = {}
            for one in self._store.list_reserved(job.guid):
                runs = _is_to_run(job, one.was_running)
                if runs and one.image not in memory:
                    memory[one.image] = self._memory_in(job, one.image)
                need = memory[one.image] if runs else 0
                found.setdefault(one.host.casefold(), {})[one.name_key] = need
        return found

    def _memory_in(self, job: Job, image: str) -> int:
        """What a desktop of that job uses, in MiB. The copy that a Prep makes may have no image."""
        if job.action is JobAction.PREP:
            return int(job.options["memory_mib"])
        return self._memory_of(image)

    def _memory_of(self, image: str) -> int:
        """In MiB; 0 where it is not known, as of desktops that came without an image of ours."""
        name, _, version = image.partition("@")
        found = self._store.find_image(name, int(version)) if version else None
        return found.memory_mib if found else 0

    def _measure(
        self, host: ports.Host, image: ImageVersion | None, reserved: Mapping[str, int]
    ) -> Room:
        """HostUnavailable when it is away."""
        info = None if self._is_away(host.name) else host.describe()
        if info is None or not info.reachable:
            raise errors.HostUnavailable(f"host {host.name} does not answer")
        used, used_mib, starting = info.vms, info.used_mib, 0
        if reserved:
            used, used_mib, starting = _count_together(host, reserved)
        return Room(
            host=host.name,
            capacity=info.capacity,
            used=used,
            memory_mib=info.memory_mib,
            used_mib=used_mib,
            starting=starting,
            has_image=image is None or host.has_image(image),
            spared=self._is_degraded(host.name),
        )


def _is_to_run(job: Job, was_running: bool) -> bool:  # noqa: FBT001  it is the row's
    return was_running if job.action is JobAction.PATCH else bool(job.options.get("start", True))


def _count_together(host: ports.Host, reserved: Mapping[str, int]) -> tuple[int, int, int]:
    """VMs, MiB and desktops about to start: each once, be it there or only planned."""
    vms = {vm.name.casefold(): vm for vm in host.list_vms()}
    running = {name: vm.memory_mib for name, vm in vms.items() if vm.state in LIVE}
    coming = {name: need for name, need in reserved.items() if need and name not in running}
    used_mib = sum(running.values()) + sum(coming.values())
    return len(vms.keys() | reserved.keys()), used_mib, len(coming)


def ask_at_once(
    hosts: Iterable[ports.Host],
    question: Callable[[ports.Host], _T],
    awaited: Container[str],
    patience: float,
) -> dict[str, _T]:
    """What hosts answer, by name and in their order; nothing of those that are away.

    Once one has answered, the others have ``patience`` in seconds; those ``awaited`` have all the
    time they take.
    """
    answers = {host.name: _ask(host, question) for host in hosts}
    any(answer.exception() is None for answer in as_completed(answers.values()))
    wait(answers.values(), patience)
    wait(answer for name, answer in answers.items() if name in awaited)
    found: dict[str, _T] = {}
    for name, answer in answers.items():
        if answer.done():
            with suppress(errors.HostUnavailable):
                found[name] = answer.result()
    return found


def _ask(host: ports.Host, question: Callable[[ports.Host], _T]) -> Future[_T]:
    """In a thread of its own: one that hangs must not keep the process from ending."""
    answer: Future[_T] = Future()

    def ask() -> None:
        try:
            answer.set_result(question(host))
        except BaseException as error:  # noqa: BLE001  whoever waits for it gets it
            answer.set_exception(error)

    threading.Thread(target=ask, name=f"ask-{host.name}", daemon=True).start()
    return answer


def find_names(
    hosts: Iterable[ports.Host], lowest: str, highest: str, awaited: Container[str]
) -> set[str]:
    """Case-folded names of VMs from ``lowest`` to ``highest``, on hosts as in ``ask_at_once``."""

    def list_names(host: ports.Host) -> set[str]:
        # what is one letter shorter comes right before it, and before all that begin with it
        return {vm.name.casefold() for vm in list_all_vms(host, lowest[:-1], highest)}

    return set().union(*ask_at_once(hosts, list_names, awaited, _NAMES_SECONDS).values())


def list_all_vms(
    host: ports.Host, after: str = "", until: str | None = None
) -> Iterator[VmSummary]:
    """Every VM in order of name, in pages; ``after`` and ``until`` as in ``Host.page_vms``."""
    while page := host.page_vms(after, until, _PAGE):
        yield from page
        after = page[-1].name.casefold()


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
