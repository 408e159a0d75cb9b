"""Two libvirtds in namespaces of their own keep what hosts promise whose VMs move between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from contract.host_suite import get_vm, leftovers_of, make_vm
from contract.move_suite import MoveSuite
from live.namespaces import Machine, machines, why_not
from openrdms.adapters.libvirt.host import LibvirtHost, connect
from openrdms.model.host import VmSpec, VmState
from openrdms.model.image import ImageVersion
from openrdms.runtime_dir import make_runtime_dir

pytestmark = [
    pytest.mark.libvirt,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(why_not()), reason=why_not()),
]


class TestMovesOnLibvirt(MoveSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def state(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("state")

    @pytest.fixture(scope="class")
    @classmethod
    def two(cls, state: Path) -> Iterator[list[Machine]]:
        with machines(2, state) as made:
            yield made

    @pytest.fixture(scope="class")
    @classmethod
    def hosts(cls, two: list[Machine], state: Path) -> Iterator[list[LibvirtHost]]:
        shared = f"&accel=qemu&shared={state}"
        uris = [f"{machine.tls}{shared}/s&name={machine.name}" for machine in two]
        uris.append(f"{two[0].unix}{shared}/other&name=alone")
        with ExitStack() as opened:
            hosts = [connect(uri, state, make_runtime_dir(state)) for uri in uris]
            for host in hosts:
                opened.callback(host.close)
            yield hosts

    @pytest.fixture
    def source(self, hosts: list[LibvirtHost]) -> LibvirtHost:
        return hosts[0]

    @pytest.fixture
    def target(self, hosts: list[LibvirtHost]) -> LibvirtHost:
        return hosts[1]

    @pytest.fixture
    def alone(self, hosts: list[LibvirtHost]) -> LibvirtHost:
        return hosts[2]

    @pytest.fixture
    def image(self, tiny_image: ImageVersion) -> ImageVersion:
        return tiny_image

    def test_vm_comes_back(self, source: LibvirtHost, target: LibvirtHost, spec: VmSpec) -> None:
        made = make_vm(source, spec)
        source.start(spec.name)
        source.migrate(spec.name, spec.uuid, target)
        target.migrate(spec.name, spec.uuid, source)
        assert get_vm(source, spec.name).disks == made.disks
        assert leftovers_of(target, spec.name) == []
        source.destroy(spec.name)
        source.start(spec.name)
        assert get_vm(source, spec.name).state is VmState.RUNNING
