"""Who waits for a guest's agent is woken by its event, or by the return of its host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.small_deployment import HOST1, HOST2, SmallDeployment, open_small_deployment
from openrdms.model.errors import HostUnavailable
from openrdms.model.host import VmEvent, VmEventKind
from openrdms.services.host_health import HostHealth
from openrdms.services.provisioning.agents import AgentEvents

SHORT = HOST1.partition(".")[0]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SmallDeployment]:
    with open_small_deployment(tmp_path) as place:
        yield place


class Deaf:
    """Hosts whose events come only from the test."""

    def __init__(self, place: SmallDeployment) -> None:
        self._hosts = place.hosts
        self.tell: Callable[[VmEvent], None] = lambda event: None

    def __getattr__(self, name: str) -> object:
        return getattr(self._hosts, name)

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Callable[[], None]:
        self.tell = callback
        return lambda: None


@pytest.mark.parametrize("name", [HOST1, SHORT])
def test_a_host_that_is_back_wakes_those_who_wait_for_its_guests(
    place: SmallDeployment, name: str
) -> None:
    hosts, health = Deaf(place), place.health()
    agents = AgentEvents(hosts, health)  # type: ignore[arg-type]  # as far as it is used
    agents.listen()
    asyncio.run(_wait_for_return(agents, hosts, health, name))
    health.close()


async def _wait_for_return(agents: AgentEvents, hosts: Deaf, health: HostHealth, name: str) -> None:
    for host, vm in ((HOST1, "vd-1"), (HOST2, "vd-2")):
        hosts.tell(VmEvent(VmEventKind.STARTED, host, vm))
    with agents.watch(name, "vd-1") as here, agents.watch(HOST2, "vd-2") as elsewhere:
        assert not here.is_set()
        health.note_failure(HOST1, HostUnavailable("away"))
        health.note_success(HOST1)
        await asyncio.wait_for(here.wait(), 20)
        assert not elsewhere.is_set()
    with agents.watch(name, "vd-1") as again:
        assert again.is_set()  # its agent may have come while nobody heard it
