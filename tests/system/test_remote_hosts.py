"""Hosts elsewhere, each a libvirtd in namespaces of its own: found, lost, and found again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.host_suite import get_vm, leftovers_of, make_spec
from live.namespaces import Machine, machines, why_not
from live.service import until
from openrdms.adapters.libvirt.connection import open_connection
from openrdms.adapters.libvirt.host import LibvirtHost, connect
from openrdms.adapters.libvirt.uri import parse_uri
from openrdms.model.errors import HostUnavailable, InvalidParameter
from openrdms.model.host import VmState
from openrdms.model.image import ImageVersion
from openrdms.runtime_dir import make_runtime_dir
from openrdms.services.host_health import HostHealth
from openrdms.services.hosts import Hosts

pytestmark = [pytest.mark.libvirt, pytest.mark.skipif(bool(why_not()), reason=why_not())]

Opener = Callable[[str], LibvirtHost]
Far = Callable[[Machine], str]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    directory = tmp_path_factory.mktemp("client")
    with machines(2, directory) as made, pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", str(directory / "programs"), prepend=os.pathsep)
        yield made


@pytest.fixture(params=["tls", "ssh"])
def far(request: pytest.FixtureRequest) -> Far:
    """The URI by which a machine is reached over the network."""
    transport: str = request.param

    def uri(machine: Machine) -> str:
        return str(getattr(machine, transport))

    return uri


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opener]:
    """Opens hosts that share a directory; gets their URI without parameters of ours."""
    state, made = tmp_path / "state", list[LibvirtHost]()
    state.mkdir()
    runtime_dir = make_runtime_dir(state)

    def open_host(uri: str) -> LibvirtHost:
        separator = "&" if "?" in uri else "?"
        uri = f"{uri}{separator}accel=qemu&shared={tmp_path}/shared"
        host = connect(uri, state, runtime_dir)
        made.append(host)
        return host

    yield open_host
    for host in made:
        host.close()


def reached(host: LibvirtHost) -> LibvirtHost:
    """Once it is: on a busy machine the first attempt may be given up."""
    until(f"{host.name} is there", lambda: host.describe().reachable)
    return host


def test_hosts_are_reached_over_the_network_and_by_a_socket(
    two: list[Machine], opened: Opener, far: Far
) -> None:
    hosts = [opened(f"{far(two[0])}&name=far"), opened(two[1].unix)]
    assert [host.name for host in hosts] == ["far", two[1].name]
    for host in hosts:
        assert reached(host).list_vms() == []
        assert host.list_leftovers() == []


def test_host_without_the_directory_is_refused(
    two: list[Machine], opened: Opener, tmp_path: Path
) -> None:
    two[0].hide(tmp_path)
    with pytest.raises(InvalidParameter, match="does not see"):
        opened(two[0].tls)
    two[0].show(tmp_path)
    reached(opened(two[0].tls))


def test_host_whose_key_is_not_known_is_not_asked(
    two: list[Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This machine's own ssh, which goes by the files of whoever runs the tests, has not met it."""
    monkeypatch.setenv("PATH", os.defpath)
    uri = parse_uri(f"{two[0].ssh}&shared=/srv", Path("/")).libvirt

    def is_strange() -> bool:
        with pytest.raises(HostUnavailable) as refused:
            open_connection(uri)
        return "Host key verification failed" in str(refused.value)

    until("its key is refused", is_strange)


def test_services_connect_at_once(two: list[Machine], opened: Opener, far: Far) -> None:
    """Each has the host look at the directory that they all share."""
    with ThreadPoolExecutor(6) as threads:
        for connected in [threads.submit(opened, f"{far(two[0])}&name=all") for _ in range(12)]:
            reached(connected.result(60))


def test_host_that_is_cut_off_is_away_and_comes_back(
    two: list[Machine], opened: Opener, far: Far
) -> None:
    hosts = Hosts([reached(opened(f"{far(machine)}&name={machine.name}")) for machine in two])
    cut, other = two
    with closing(HostHealth(hosts, lambda: datetime.now(UTC))) as health:
        health.start()
        cut.cut_off()
        until("it is known to be away", lambda: health.is_away(cut.name))
        assert not hosts.get(cut.name).describe().reachable
        until("the other one is there", lambda: not health.is_away(other.name))
        cut.connect_again()
        until("it is back", lambda: not health.is_away(cut.name))
        # the old connection may have answered once more, before the kernel gives it up
        until("it stays", lambda: hosts.get(cut.name).describe().reachable)
        until("it is known", lambda: not health.is_away(cut.name))


def test_all_calls_that_wait_for_a_host_fail_when_it_is_cut_off(
    two: list[Machine], opened: Opener, far: Far
) -> None:
    """By its own keep-alive libvirt lets one fail, and the next ends this process."""
    host = reached(opened(f"{far(two[0])}&name=cut"))
    two[0].cut_off()
    with ThreadPoolExecutor(8) as callers:
        calls = [callers.submit(host.list_vms) for _ in range(8)]
        for call in calls:
            with pytest.raises(HostUnavailable):
                call.result(60)
    two[0].connect_again()
    reached(host)


def test_host_may_be_away_when_the_service_begins(
    two: list[Machine], opened: Opener, far: Far
) -> None:
    two[0].cut_off()
    host = opened(f"{far(two[0])}&name=later")
    assert not host.describe().reachable
    two[0].connect_again()
    reached(host)


def test_services_begin_and_end_one_vm_at_once(
    two: list[Machine], opened: Opener, far: Far, tiny_image: ImageVersion
) -> None:
    """One that has died asked for it, and one that goes on asks before it is done."""
    services = [reached(opened(f"{far(two[0])}&name=both")) for _ in range(4)]
    spec = make_spec(tiny_image, "once")
    vm = spec.name

    def all_at_once(act: Callable[[LibvirtHost], None]) -> None:
        for acted in [threads.submit(act, service) for service in services]:
            acted.result(120)

    with ThreadPoolExecutor(4) as threads:
        for _ in range(3):
            services[0].create_disk(spec)
            all_at_once(lambda host: host.define(spec))
            all_at_once(lambda host: host.start(vm))
            assert get_vm(services[0], vm).state is VmState.RUNNING
            all_at_once(lambda host: host.destroy(vm, spec.uuid))
            all_at_once(lambda host: host.undefine(vm, spec.uuid))
            all_at_once(lambda host: host.delete_disk(vm, spec.generation))
            assert leftovers_of(services[0], vm) == []
