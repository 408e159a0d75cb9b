"""Pages of desktops with their run states."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.small_deployment import HOST1, HOST2, SmallDeployment, open_small_deployment
from openrdms.model import errors
from openrdms.model.desktop_list import DesktopQuery
from openrdms.model.host import VmState
from openrdms.services.desktop_list import DesktopList

ALL = DesktopQuery()


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[SmallDeployment]:
    """A desktop on each of two hosts; the first one runs."""
    with open_small_deployment(tmp_path) as deployment:
        deployment.make_collection("farm")
        deployment.make_desktop("one", "farm", HOST1)
        deployment.make_desktop("two", "farm", HOST2)
        deployment.hosts.get(HOST1).start("one")
        yield deployment


def states(desktops: DesktopList) -> dict[str, VmState]:
    return {one.row.name: one.state for one in desktops.page(ALL, "", 10)}


def test_hosts_say_what_runs(deployment: SmallDeployment) -> None:
    desktops = DesktopList(deployment.store, deployment.hosts, deployment.health())
    assert states(desktops) == {"one": VmState.RUNNING, "two": VmState.STOPPED}
    found = desktops.get("ONE")
    assert found.vm
    assert (found.row.name, found.vm.state) == ("one", VmState.RUNNING)
    with pytest.raises(errors.NotFound):
        desktops.get("three")


def test_a_host_that_is_away_is_not_asked(
    deployment: SmallDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = deployment.health()
    health.note_failure(HOST1, errors.HostUnavailable("away"))
    monkeypatch.setattr(deployment.hosts.get(HOST1), "find_vm", None)
    desktops = DesktopList(deployment.store, deployment.hosts, health)
    assert states(desktops) == {"one": VmState.UNKNOWN, "two": VmState.STOPPED}
    health.close()


def test_a_host_that_hangs_is_shown_without_and_left_alone(
    deployment: SmallDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on = threading.Semaphore(0), threading.Event()

    def hang(_: str) -> None:
        asked.release()
        go_on.wait(30)

    monkeypatch.setattr(deployment.hosts.get(HOST1), "find_vm", hang)
    desktops = DesktopList(deployment.store, deployment.hosts, deployment.health())
    for _ in range(3):
        assert states(desktops) == {"one": VmState.UNKNOWN, "two": VmState.STOPPED}
    assert asked.acquire(timeout=0)
    assert not asked.acquire(timeout=0)
    go_on.set()


def test_what_a_host_refuses_keeps_nobody_waiting(
    deployment: SmallDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise errors.HostUnavailable("just gone")

    monkeypatch.setattr(deployment.hosts.get(HOST1), "find_vm", refuse)
    desktops = DesktopList(deployment.store, deployment.hosts, deployment.health())
    for _ in range(2):
        assert states(desktops) == {"one": VmState.UNKNOWN, "two": VmState.STOPPED}
