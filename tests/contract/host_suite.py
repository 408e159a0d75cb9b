"""What every ``ports.Host`` promises. An adapter's test file runs it against its own host:

    class TestLibvirtHost(HostSuite):
        boot_timeout = 120

and supplies the fixtures that HostSuite declares with ``raise NotImplementedError``, each with
scope "class" (then a ``classmethod``) or wider. Only ``booted`` boots a guest, once for the class.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import NAMESPACE_DNS, uuid4, uuid5

import pytest

from live.rfb import Viewer
from openrdms.model.errors import InvalidOperation, NotFound, RdmsError, VmNotRunning
from openrdms.model.host import (
    DiskKind,
    Leftover,
    Ownership,
    VmEvent,
    VmEventKind,
    VmInfo,
    VmSpec,
    VmState,
    VmSummary,
)
from openrdms.model.image import ImageVersion
from openrdms.ports import Host

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
QCOW2_MAGIC = b"QFI\xfb"
OURS = Ownership(collection="Suite", job="{00000000-0000-0000-0000-000000000001}", image="suite@1")


def make_spec(image: ImageVersion, name: str, generation: int = 1) -> VmSpec:
    """A linked clone whose uuid and MAC follow from its name, as they do in every generation."""
    uuid = uuid5(NAMESPACE_DNS, name)
    mac = ":".join(["52:54:00", *(f"{octet:02x}" for octet in uuid.bytes[:3])])
    return VmSpec(name, uuid, mac, image, DiskKind.LINKED, generation, OURS)


def make_vm(host: Host, spec: VmSpec) -> VmInfo:
    """Disk and definition; the VM is off."""
    host.create_disk(spec)
    host.define(spec)
    return get_vm(host, spec.name)


def remove_vm(host: Host, name: str, generations: tuple[int, ...] = (1, 2)) -> None:
    """Whatever there is of it; also the way a service undoes a desktop."""
    host.destroy(name)
    host.undefine(name)
    for generation in generations:
        host.delete_disk(name, generation)


def get_vm(host: Host, name: str) -> VmInfo:
    vm = host.find_vm(name)
    assert vm is not None, f"{name} is not on {host.name}"
    return vm


def leftovers_of(host: Host, name: str) -> list[Leftover]:
    return [left for left in host.list_leftovers() if left.vm.lower() == name.lower()]


def kinds_of(host: Host, name: str) -> list[str]:
    return sorted({left.kind for left in leftovers_of(host, name)})


def disks_of(host: Host, name: str) -> list[str]:
    return sorted(left.name for left in leftovers_of(host, name) if left.kind == "disk")


class EventLog:
    """Subscriber that remembers, and waits for what it was not told yet."""

    def __init__(self) -> None:
        self._events: list[VmEvent] = []
        self._arrived = threading.Condition()

    def __call__(self, event: VmEvent) -> None:
        with self._arrived:
            self._events.append(event)
            self._arrived.notify_all()

    def count(self, vm: str, kind: VmEventKind) -> int:
        return sum(event.vm == vm and event.kind == kind for event in self._events)

    def wait(self, vm: str, kind: VmEventKind, timeout: float) -> None:
        with self._arrived:
            came = self._arrived.wait_for(lambda: self.count(vm, kind) > 0, timeout)
        assert came, f"no {kind} of {vm} within {timeout} s; came: {self._events}"

    def boot(self, host: Host, vm: str, timeout: float) -> None:
        """Start it and wait for its agent; one that stops by itself is started once more, as the
        service does.
        """
        deadline = time.monotonic() + timeout
        came = self._starts(host, vm, deadline) or self._starts(host, vm, deadline)
        assert came, f"{vm} did not come up within {timeout} s; came: {self._events}"

    def _starts(self, host: Host, vm: str, deadline: float) -> bool:
        connected = self.count(vm, VmEventKind.AGENT_CONNECTED)
        stopped = self.count(vm, VmEventKind.STOPPED)
        host.start(vm)
        with self._arrived:
            self._arrived.wait_for(
                lambda: (
                    self.count(vm, VmEventKind.AGENT_CONNECTED) > connected
                    or self.count(vm, VmEventKind.STOPPED) > stopped
                ),
                deadline - time.monotonic(),
            )
            return self.count(vm, VmEventKind.AGENT_CONNECTED) > connected


class HostSuite:
    boot_timeout = 60.0
    """Seconds within which a guest's agent answers after the start."""

    stop_timeout = 30.0
    """Seconds within which a guest that was asked to shut down is off."""

    event_timeout = 30.0
    """Seconds within which an event other than the agent's arrives."""

    @pytest.fixture(scope="class")
    @classmethod
    def host(cls) -> Host:
        """A host with nothing on it."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def image(cls) -> ImageVersion:
        """An image that boots with a guest agent."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def add_stranger(cls, host: Host) -> Callable[[str], None]:
        """Defines a VM that is off and knows nothing of us, with a disk of its own."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def break_disk(cls, host: Host) -> Callable[[VmSpec], None]:
        """Leaves the disk of that spec as a caller killed in the middle of create_disk may."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def spec_for(cls, image: ImageVersion) -> Callable[..., VmSpec]:
        return lambda name, generation=1: make_spec(image, name, generation)

    @pytest.fixture
    def spec(
        self, host: Host, spec_for: Callable[..., VmSpec], request: pytest.FixtureRequest
    ) -> Iterator[VmSpec]:
        """A desktop of this test's own; what the test leaves of it is taken away."""
        spec = spec_for(f"s-{uuid5(NAMESPACE_DNS, request.node.name).hex[:8]}")
        yield spec
        remove_vm(host, spec.name)

    @pytest.fixture(scope="class")
    @classmethod
    def events(cls, host: Host) -> Iterator[EventLog]:
        log = EventLog()
        unsubscribe = host.subscribe(log)
        yield log
        unsubscribe()

    @pytest.fixture(scope="class")
    @classmethod
    def booted(
        cls, host: Host, spec_for: Callable[..., VmSpec], events: EventLog
    ) -> Iterator[VmSpec]:
        spec = spec_for("suite-booted")
        make_vm(host, spec)
        events.boot(host, spec.name, cls.boot_timeout)
        yield spec
        remove_vm(host, spec.name)

    # the host itself

    def test_host_describes_itself(self, host: Host) -> None:
        info = host.describe()
        assert info.name == host.name != ""
        assert info.reachable
        assert info.capacity > 0
        assert host.slots > 0
        assert host.stops > 0
        assert host.removals > 0
        assert info.free_bytes > 0
        assert info.accelerator
        assert 0 <= info.used_mib <= info.memory_mib

    def test_host_counts_its_vms_and_the_memory_of_those_that_run(
        self, host: Host, spec: VmSpec
    ) -> None:
        before = host.describe()
        make_vm(host, spec)
        off = host.describe()
        assert (off.vms, off.used_mib) == (before.vms + 1, before.used_mib)
        host.start(spec.name)
        on = host.describe()
        assert (on.vms, on.used_mib) == (off.vms, off.used_mib + spec.image.memory_mib)
        host.destroy(spec.name)
        assert host.describe() == replace(off, free_bytes=host.describe().free_bytes)

    def test_what_is_absent_is_none_and_removing_it_is_fine(self, host: Host) -> None:
        assert host.find_vm("suite-absent") is None
        remove_vm(host, "suite-absent")

    @pytest.mark.parametrize(
        "call",
        [
            lambda host, tmp: host.start("suite-absent"),
            lambda host, tmp: host.pause("suite-absent"),
            lambda host, tmp: host.save("suite-absent"),
            lambda host, tmp: host.shut_down("suite-absent", 1),
            lambda host, tmp: host.set_ownership("suite-absent", OURS),
            lambda host, tmp: host.screenshot("suite-absent"),
            lambda host, tmp: host.open_display("suite-absent"),
            lambda host, tmp: host.rdp_address("suite-absent"),
            lambda host, tmp: host.export_disk("suite-absent", tmp / "x.qcow2"),
        ],
        ids=[
            *("start", "pause", "save", "shut_down", "set_ownership", "screenshot"),
            *("open_display", "rdp_address", "export_disk"),
        ],
    )
    def test_using_an_absent_vm_is_not_found(
        self, host: Host, tmp_path: Path, call: Callable[[Host, Path], None]
    ) -> None:
        with pytest.raises(NotFound, match="suite-absent"):
            call(host, tmp_path)

    # disks

    def test_disk_made_twice_is_one_disk(self, host: Host, spec: VmSpec) -> None:
        host.create_disk(spec)
        once = disks_of(host, spec.name)
        host.create_disk(spec)
        assert disks_of(host, spec.name) == once
        assert len(once) == 1

    def test_disk_that_is_left_over_is_not_taken_for_a_new_one(
        self, host: Host, spec: VmSpec, tmp_path: Path
    ) -> None:
        larger = replace(spec.image, virtual_bytes=2 * spec.image.virtual_bytes)
        host.create_disk(replace(spec, image=larger))
        make_vm(host, spec)
        assert len(disks_of(host, spec.name)) == 1
        assert host.export_disk(spec.name, tmp_path / "x") == spec.image.virtual_bytes

    def test_disk_name_tells_vm_and_generation(self, host: Host, spec: VmSpec) -> None:
        host.create_disk(spec)
        assert Path(disks_of(host, spec.name)[0]).name == f"{spec.name}.1.qcow2"

    def test_full_clone_is_a_disk_too(self, host: Host, spec: VmSpec, tmp_path: Path) -> None:
        make_vm(host, replace(spec, disk_kind=DiskKind.FULL))
        assert len(disks_of(host, spec.name)) == 1
        assert host.export_disk(spec.name, tmp_path / "x") == spec.image.virtual_bytes

    def test_deleted_disk_is_gone_and_may_be_deleted_again(self, host: Host, spec: VmSpec) -> None:
        host.create_disk(spec)
        for _ in range(2):
            host.delete_disk(spec.name, 1)
            assert leftovers_of(host, spec.name) == []

    def test_half_made_disk_is_replaced(
        self, host: Host, spec: VmSpec, break_disk: Callable[[VmSpec], None], tmp_path: Path
    ) -> None:
        break_disk(spec)
        assert len(disks_of(host, spec.name)) == 1
        make_vm(host, spec)
        assert len(disks_of(host, spec.name)) == 1
        assert host.export_disk(spec.name, tmp_path / "x") == spec.image.virtual_bytes

    def test_half_made_disk_is_deleted(
        self, host: Host, spec: VmSpec, break_disk: Callable[[VmSpec], None]
    ) -> None:
        break_disk(spec)
        host.delete_disk(spec.name, 1)
        assert leftovers_of(host, spec.name) == []

    def test_disks_that_no_definition_names_are_deleted(
        self, host: Host, spec: VmSpec, break_disk: Callable[[VmSpec], None]
    ) -> None:
        host.delete_unused_disks(spec.name)
        break_disk(replace(spec, generation=12))
        host.create_disk(spec)
        used = make_vm(host, replace(spec, generation=2)).disks
        host.delete_unused_disks(spec.name)
        assert disks_of(host, spec.name) == list(used)
        host.undefine(spec.name)
        for _ in range(2):
            host.delete_unused_disks(spec.name)
            assert leftovers_of(host, spec.name) == []

    # definitions

    def test_defined_vm_is_as_specified(self, host: Host, spec: VmSpec) -> None:
        vm = make_vm(host, spec)
        assert (vm.name, vm.host, vm.uuid) == (spec.name, host.name, spec.uuid)
        assert vm.state == VmState.STOPPED
        assert (vm.memory_mib, vm.vcpus) == (spec.image.memory_mib, spec.image.vcpus)
        assert vm.ownership == spec.ownership
        assert list(vm.disks) == disks_of(host, spec.name)
        assert vm in host.list_vms()

    def test_names_of_vms_ignore_case(self, host: Host, spec: VmSpec) -> None:
        make_vm(host, spec)
        assert get_vm(host, spec.name.upper()).name == spec.name

    def test_defining_again_changes_nothing(self, host: Host, spec: VmSpec) -> None:
        vm = make_vm(host, spec)
        host.define(spec)
        assert [found for found in host.list_vms() if found.name == spec.name] == [vm]

    def test_definition_needs_its_disk(
        self, host: Host, spec: VmSpec, break_disk: Callable[[VmSpec], None]
    ) -> None:
        for leave in (lambda _spec: None, break_disk):
            leave(spec)
            with pytest.raises(NotFound, match=spec.name):
                host.define(spec)
            assert host.find_vm(spec.name) is None

    def test_undefined_vm_leaves_only_its_disk(self, host: Host, spec: VmSpec) -> None:
        make_vm(host, spec)
        for _ in range(2):
            host.undefine(spec.name)
            assert host.find_vm(spec.name) is None
            assert [left.kind for left in leftovers_of(host, spec.name)] == ["disk"]

    def test_patch_exchanges_the_disk_and_back(self, host: Host, spec: VmSpec) -> None:
        before = make_vm(host, spec)
        after = make_vm(host, replace(spec, generation=2))
        assert after.disks != before.disks
        assert replace(after, disks=before.disks) == before
        assert disks_of(host, spec.name) == sorted([*before.disks, *after.disks])
        host.define(spec)
        host.delete_disk(spec.name, 2)
        assert get_vm(host, spec.name) == before
        assert disks_of(host, spec.name) == list(before.disks)

    def test_ownership_is_written_and_removed(self, host: Host, spec: VmSpec) -> None:
        vm = make_vm(host, spec)
        adopted = replace(OURS, collection="Other", adopted=True)
        for ownership in (adopted, adopted, None, None):
            host.set_ownership(spec.name, ownership)
            assert get_vm(host, spec.name) == replace(vm, ownership=ownership)
        host.set_ownership(spec.name, spec.ownership)

    # strangers

    @pytest.fixture(scope="class")
    @classmethod
    def stranger(cls, host: Host, add_stranger: Callable[[str], None]) -> VmInfo:
        add_stranger("suite-stranger")
        return get_vm(host, "suite-stranger")

    def test_stranger_is_listed_and_not_ours(self, host: Host, stranger: VmInfo) -> None:
        assert stranger.ownership is None
        assert stranger in host.list_vms()
        assert leftovers_of(host, stranger.name) == []
        assert not {left.name for left in host.list_leftovers()} & set(stranger.disks)

    def test_vms_are_paged_in_order_of_name(
        self, host: Host, stranger: VmInfo, spec: VmSpec
    ) -> None:
        make_vm(host, spec)
        every = host.page_vms("", None, 1000)
        keys = [vm.name.casefold() for vm in every]
        assert keys == sorted(vm.name.casefold() for vm in host.list_vms())
        assert VmSummary(stranger.name, stranger.state, "") in every
        assert VmSummary(spec.name, VmState.STOPPED, OURS.collection) in every
        assert len(every) >= 2
        for index, key in enumerate(keys):
            assert host.page_vms(key, None, 1) == every[index + 1 : index + 2]
            assert host.page_vms("", key, 1000) == every[: index + 1]
        host.set_ownership(stranger.name, replace(OURS, adopted=True))
        assert host.page_vms("", None, 1000) == every
        host.set_ownership(stranger.name, None)

    def test_stranger_is_never_redefined(
        self, host: Host, stranger: VmInfo, spec_for: Callable[..., VmSpec]
    ) -> None:
        spec = spec_for(stranger.name)
        host.create_disk(spec)
        with pytest.raises(RdmsError, match=stranger.name):
            host.define(spec)
        host.delete_disk(stranger.name, 1)
        assert get_vm(host, stranger.name) == stranger

    def test_stranger_is_never_harmed(self, host: Host, stranger: VmInfo) -> None:
        for harm in (host.destroy, host.undefine, host.pause, host.save):
            with pytest.raises(InvalidOperation, match=stranger.name):
                harm(stranger.name)
        assert get_vm(host, stranger.name) == stranger

    def test_another_vm_of_that_name_is_left_alone(self, host: Host, spec: VmSpec) -> None:
        ours = make_vm(host, spec)
        host.start(spec.name)
        host.destroy(spec.name, uuid4())
        assert get_vm(host, spec.name).state is VmState.RUNNING
        host.destroy(spec.name, spec.uuid)
        host.undefine(spec.name, uuid4())
        assert get_vm(host, spec.name) == ours
        host.undefine(spec.name, spec.uuid)
        assert host.find_vm(spec.name) is None

    def test_adopted_vm_is_never_undefined(self, host: Host, stranger: VmInfo) -> None:
        host.set_ownership(stranger.name, replace(OURS, adopted=True))
        with pytest.raises(InvalidOperation, match=stranger.name):
            host.undefine(stranger.name)
        host.set_ownership(stranger.name, None)
        assert get_vm(host, stranger.name) == stranger

    def test_adopting_leaves_the_rest_as_it_was(self, host: Host, stranger: VmInfo) -> None:
        adopted = replace(OURS, adopted=True)
        host.set_ownership(stranger.name, adopted)
        assert get_vm(host, stranger.name) == replace(stranger, ownership=adopted)
        host.set_ownership(stranger.name, None)
        assert get_vm(host, stranger.name) == stranger

    # export

    def test_export_is_a_whole_qcow2_and_leaves_the_vm(
        self, host: Host, spec: VmSpec, tmp_path: Path
    ) -> None:
        vm = make_vm(host, spec)
        before = leftovers_of(host, spec.name)
        target = tmp_path / "exported.qcow2"
        assert host.export_disk(spec.name, target) == spec.image.virtual_bytes
        header = target.read_bytes()[:16]
        assert header[:4] == QCOW2_MAGIC
        assert header[8:16] == bytes(8), "an export has no backing file"
        assert get_vm(host, spec.name) == vm
        assert leftovers_of(host, spec.name) == before

    # running

    def test_booted_vm_runs_and_said_so(self, host: Host, booted: VmSpec, events: EventLog) -> None:
        assert get_vm(host, booted.name).state == VmState.RUNNING
        events.wait(booted.name, VmEventKind.STARTED, self.event_timeout)
        host.guest(booted.name).ping(self.event_timeout)

    def test_starting_again_changes_nothing(
        self, host: Host, booted: VmSpec, events: EventLog
    ) -> None:
        before = events.count(booted.name, VmEventKind.STARTED)  # two if it stopped while it booted
        host.start(booted.name)
        time.sleep(0.1)
        assert events.count(booted.name, VmEventKind.STARTED) == before > 0
        host.guest(booted.name).ping(self.event_timeout)

    def test_screenshot_is_a_png(self, host: Host, booted: VmSpec) -> None:
        assert host.screenshot(booted.name).startswith(PNG_MAGIC)

    def test_display_shows_what_is_typed_to_all_viewers(self, host: Host, booted: VmSpec) -> None:
        with (
            closing(Viewer(host.open_display(booted.name))) as typing,
            closing(Viewer(host.open_display(booted.name))) as watching,
        ):
            assert (typing.version, typing.width > 0) == (b"RFB 003.008\n", True)
            before, watched = typing.look(), watching.look()
            assert len(set(before)) > 1
            typing.type("whoami")
            typing.look_until_it_changes(before)
            watching.look_until_it_changes(watched)

    def test_rdp_is_in_one_place_on_this_machine(self, host: Host, booted: VmSpec) -> None:
        address = host.rdp_address(booted.name)
        assert host.rdp_address(booted.name.upper()) == address
        assert ipaddress.ip_address(address[0]).is_loopback
        socket.create_connection(address, timeout=10).close()

    def test_vm_that_is_off_has_no_address(self, host: Host, spec: VmSpec) -> None:
        make_vm(host, spec)
        with pytest.raises(VmNotRunning, match=spec.name):
            host.rdp_address(spec.name)

    def test_running_vm_keeps_its_definition_and_disk(self, host: Host, booted: VmSpec) -> None:
        vm = get_vm(host, booted.name)
        host.define(booted)
        host.delete_unused_disks(booted.name)
        for refused in (
            lambda: host.create_disk(booted),
            lambda: host.define(replace(booted, generation=2)),
            lambda: host.undefine(booted.name),
        ):
            with pytest.raises(RdmsError, match=booted.name):
                refused()
        assert get_vm(host, booted.name) == vm
        assert disks_of(host, booted.name) == list(vm.disks)

    def test_ownership_changes_while_it_runs(self, host: Host, booted: VmSpec) -> None:
        host.set_ownership(booted.name, None)
        assert get_vm(host, booted.name).ownership is None
        host.set_ownership(booted.name, booted.ownership)
        assert get_vm(host, booted.name).ownership == booted.ownership

    def test_paused_vm_stands_still_and_runs_on(self, host: Host, booted: VmSpec) -> None:
        for _ in range(2):
            host.pause(booted.name)
            assert get_vm(host, booted.name).state == VmState.PAUSED
        with pytest.raises(VmNotRunning):
            host.guest(booted.name).ping(1)
        with pytest.raises(RdmsError, match=booted.name):
            host.define(replace(booted, generation=2))
        for _ in range(2):
            host.start(booted.name)
            assert get_vm(host, booted.name).state == VmState.RUNNING
        host.guest(booted.name).ping(self.event_timeout)

    @pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
    def test_saved_vm_goes_on_where_it_was(
        self, host: Host, booted: VmSpec, paused: bool, tmp_path: Path
    ) -> None:
        heard = EventLog()
        end = host.subscribe(heard)
        before = kinds_of(host, booted.name)
        if paused:
            host.pause(booted.name)
        for _ in range(2):
            host.save(booted.name)
            assert get_vm(host, booted.name).state == VmState.SAVED
        heard.wait(booted.name, VmEventKind.STOPPED, self.event_timeout)
        assert set(kinds_of(host, booted.name)) - {"socket"} == {"vm", "disk", "saved"}
        host.define(booted)
        for refused in (
            lambda: host.pause(booted.name),
            lambda: host.shut_down(booted.name, 1),
            lambda: host.export_disk(booted.name, tmp_path / "x"),
        ):
            with pytest.raises(InvalidOperation, match=booted.name):
                refused()
        host.start(booted.name)
        assert get_vm(host, booted.name).state == VmState.RUNNING
        heard.wait(booted.name, VmEventKind.STARTED, self.event_timeout)
        heard.wait(booted.name, VmEventKind.AGENT_CONNECTED, self.boot_timeout)
        host.guest(booted.name).ping(self.event_timeout)
        assert kinds_of(host, booted.name) == before
        end()

    def test_what_is_off_is_neither_paused_nor_saved(self, host: Host, spec: VmSpec) -> None:
        make_vm(host, spec)
        for refused in (host.pause, host.save):
            with pytest.raises(InvalidOperation, match=spec.name):
                refused(spec.name)
        assert get_vm(host, spec.name).state == VmState.STOPPED

    def test_display_is_there_while_the_vm_is(self, host: Host, spec: VmSpec) -> None:
        make_vm(host, spec)
        with pytest.raises(VmNotRunning, match=spec.name):
            host.open_display(spec.name)
        host.start(spec.name)
        with closing(Viewer(host.open_display(spec.name))) as viewer:
            host.destroy(spec.name)
            viewer.wait_for_end()

    def test_saved_state_goes_with_the_disk_it_belongs_to(self, host: Host, spec: VmSpec) -> None:
        make_vm(host, spec)
        host.start(spec.name)
        host.save(spec.name)
        patched = replace(spec, generation=2)
        host.create_disk(patched)
        host.define(patched)
        assert get_vm(host, spec.name).state == VmState.STOPPED
        assert "saved" not in kinds_of(host, spec.name)
        host.start(spec.name)
        assert Path(get_vm(host, spec.name).disks[0]).name == f"{spec.name}.2.qcow2"

    def test_destroy_drops_a_saved_state(self, host: Host, spec: VmSpec) -> None:
        make_vm(host, spec)
        host.start(spec.name)
        host.save(spec.name)
        for _ in range(2):
            host.destroy(spec.name)
            assert get_vm(host, spec.name).state == VmState.STOPPED
        assert "saved" not in kinds_of(host, spec.name)

    @pytest.mark.parametrize("held", ["pause", "save"])
    def test_held_vm_is_removed_whole(self, host: Host, spec: VmSpec, held: str) -> None:
        make_vm(host, spec)
        host.start(spec.name)
        getattr(host, held)(spec.name)
        if held == "pause":
            host.destroy(spec.name)
        host.undefine(spec.name)
        host.delete_disk(spec.name, 1)
        assert leftovers_of(host, spec.name) == []

    def test_paused_guest_shuts_down(self, host: Host, booted: VmSpec) -> None:
        host.pause(booted.name)
        host.shut_down(booted.name, self.stop_timeout)
        assert get_vm(host, booted.name).state == VmState.STOPPED
        heard = EventLog()
        end = host.subscribe(heard)
        heard.boot(host, booted.name, self.boot_timeout)
        end()

    def test_shut_down_stops_the_guest(self, host: Host, booted: VmSpec, events: EventLog) -> None:
        for _ in range(2):
            host.shut_down(booted.name, self.stop_timeout)
            assert get_vm(host, booted.name).state == VmState.STOPPED
        events.wait(booted.name, VmEventKind.STOPPED, self.event_timeout)

    def test_destroy_stops_at_once(self, host: Host, spec: VmSpec, events: EventLog) -> None:
        make_vm(host, spec)
        host.start(spec.name)
        for _ in range(2):
            host.destroy(spec.name)
            assert get_vm(host, spec.name).state == VmState.STOPPED
        events.wait(spec.name, VmEventKind.STOPPED, self.event_timeout)

    def test_a_start_that_was_aborted_leaves_the_vm_as_it_was(
        self, host: Host, spec: VmSpec
    ) -> None:
        """Some hosts cannot; there it has started."""
        made = make_vm(host, spec)
        with ThreadPoolExecutor(1) as threads:
            started = threads.submit(host.start, spec.name)
            while not started.done():
                host.abort_start(spec.name, spec.uuid)
                time.sleep(0.02)
        host.destroy(spec.name)
        assert get_vm(host, spec.name) == made
        host.start(spec.name)
        assert get_vm(host, spec.name).state == VmState.RUNNING

    def test_what_is_off_or_another_vm_is_left_alone_by_an_abort(
        self, host: Host, spec: VmSpec
    ) -> None:
        host.abort_start(spec.name, spec.uuid)
        make_vm(host, spec)
        host.abort_start(spec.name, spec.uuid)
        host.start(spec.name)
        host.abort_start(spec.name, uuid4())
        assert get_vm(host, spec.name).state == VmState.RUNNING

    def test_nothing_is_left_of_a_removed_vm(self, host: Host, spec: VmSpec) -> None:
        make_vm(host, spec)
        host.start(spec.name)
        assert "vm" in kinds_of(host, spec.name)
        remove_vm(host, spec.name)
        assert leftovers_of(host, spec.name) == []

    def test_events_end_with_the_subscription(self, host: Host, spec: VmSpec) -> None:
        log = EventLog()
        unsubscribe = host.subscribe(log)
        make_vm(host, spec)
        host.start(spec.name)
        log.wait(spec.name, VmEventKind.STARTED, self.event_timeout)
        unsubscribe()
        host.destroy(spec.name)
        time.sleep(0.2)
        assert log.count(spec.name, VmEventKind.STOPPED) == 0

    # many callers

    def test_eight_threads_make_and_remove_desktops(
        self, host: Host, spec_for: Callable[..., VmSpec]
    ) -> None:
        specs = [spec_for(f"suite-many-{number}") for number in range(8)]
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda spec: make_vm(host, spec), specs))
            assert [vm.uuid for vm in made] == [spec.uuid for spec in specs]
            list(threads.map(lambda spec: remove_vm(host, spec.name), specs))
        assert [left for left in host.list_leftovers() if "suite-many" in left.name] == []

    def test_eight_threads_make_the_same_desktop(self, host: Host, spec: VmSpec) -> None:
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda _: make_vm(host, spec), range(8)))
        assert made == [made[0]] * 8
        assert len(disks_of(host, spec.name)) == 1
