"""What hosts promise whose VMs move between them; see ``host_suite`` for what is not said here.

An adapter's test file supplies ``source`` and ``target``, which share their disks, and ``alone``,
which shares none with them. Each test boots at most one guest, which need not answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import NAMESPACE_DNS, uuid4, uuid5

import pytest

from contract.host_suite import get_vm, leftovers_of, make_spec, make_vm, remove_vm
from openrdms.model.errors import InvalidOperation, NotFound, NotSupported
from openrdms.model.host import VmSpec, VmState
from openrdms.model.image import ImageVersion
from openrdms.ports import Host


class MoveSuite:
    @pytest.fixture
    def source(self) -> Host:
        raise NotImplementedError

    @pytest.fixture
    def target(self) -> Host:
        raise NotImplementedError

    @pytest.fixture
    def alone(self) -> Host:
        raise NotImplementedError

    @pytest.fixture
    def image(self) -> ImageVersion:
        raise NotImplementedError

    @pytest.fixture
    def spec(
        self, source: Host, target: Host, image: ImageVersion, request: pytest.FixtureRequest
    ) -> Iterator[VmSpec]:
        spec = make_spec(image, f"m-{uuid5(NAMESPACE_DNS, request.node.name).hex[:8]}")
        yield spec
        remove_vm(source, spec.name)
        remove_vm(target, spec.name)

    def test_disks_are_shared_both_ways(self, source: Host, target: Host, alone: Host) -> None:
        assert source.is_shared_with(target)
        assert target.is_shared_with(source)
        assert not source.is_shared_with(source)
        assert not source.is_shared_with(alone)
        assert not alone.is_shared_with(source)

    def test_vm_that_runs_goes_on(self, source: Host, target: Host, spec: VmSpec) -> None:
        before = make_vm(source, spec)
        source.start(spec.name)
        source.migrate(spec.name, spec.uuid, target)
        there = get_vm(target, spec.name)
        assert (there.uuid, there.state) == (spec.uuid, VmState.RUNNING)
        assert (there.ownership, there.memory_mib) == (before.ownership, before.memory_mib)
        assert source.find_vm(spec.name) is None
        assert leftovers_of(source, spec.name) == []
        assert {"vm", "disk"} <= {left.kind for left in leftovers_of(target, spec.name)}

    def test_vm_that_is_off_moves_and_starts_there(
        self, source: Host, target: Host, spec: VmSpec
    ) -> None:
        make_vm(source, spec)
        source.migrate(spec.name, spec.uuid, target)
        assert get_vm(target, spec.name).state is VmState.STOPPED
        assert source.find_vm(spec.name) is None
        assert leftovers_of(source, spec.name) == []
        target.start(spec.name)
        assert get_vm(target, spec.name).state is VmState.RUNNING

    def test_move_that_is_repeated_is_fine(self, source: Host, target: Host, spec: VmSpec) -> None:
        make_vm(source, spec)
        source.migrate(spec.name, spec.uuid, target)
        source.migrate(spec.name, spec.uuid, target)
        assert source.settle_move(spec.name, spec.uuid, target)
        assert get_vm(target, spec.name).uuid == spec.uuid

    def test_move_that_never_began_is_settled_here(
        self, source: Host, target: Host, spec: VmSpec
    ) -> None:
        make_vm(source, spec)
        assert not source.settle_move(spec.name, spec.uuid, target)
        assert get_vm(source, spec.name).uuid == spec.uuid
        assert leftovers_of(target, spec.name) == []

    def test_vm_at_neither_is_not_found(self, source: Host, target: Host) -> None:
        with pytest.raises(NotFound, match="nobody"):
            source.migrate("nobody", uuid4(), target)
        assert not source.settle_move("nobody", uuid4(), target)

    def test_vm_stays_where_disks_are_not_shared(
        self, source: Host, alone: Host, spec: VmSpec
    ) -> None:
        make_vm(source, spec)
        with pytest.raises(NotSupported, match=alone.name):
            source.migrate(spec.name, spec.uuid, alone)
        assert get_vm(source, spec.name).state is VmState.STOPPED

    def test_strangers_stay(self, source: Host, target: Host, spec: VmSpec) -> None:
        make_vm(source, spec)
        source.set_ownership(spec.name, None)
        with pytest.raises(InvalidOperation, match=spec.name):
            source.migrate(spec.name, spec.uuid, target)
        source.set_ownership(spec.name, spec.ownership)
