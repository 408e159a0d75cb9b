"""libvirt's embedded driver with real QEMUs keeps what every host promises, and more."""

from __future__ import annotations

import os
import pwd
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import libvirt
import pytest

from contract.host_suite import EventLog, HostSuite, get_vm, leftovers_of, make_vm, remove_vm
from openrdms.adapters.libvirt.host import LibvirtHost
from openrdms.model.errors import InvalidOperation, OperationFailed
from openrdms.model.host import VmEventKind, VmInfo, VmSpec, VmState
from openrdms.model.image import Firmware, ImageVersion
from openrdms.runtime_dir import make_runtime_dir

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(400)]

STRANGER = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64'>hvm</type></os><devices><disk type='file' device='disk'>
<source file='{disk}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"""


class TestLibvirtHost(HostSuite):
    boot_timeout = 300  # emulated, beside whatever else the machine does
    stop_timeout = 90
    event_timeout = 15

    @pytest.fixture(scope="class")
    @classmethod
    def state_dir(cls, embedded_state_dir: Path) -> Path:
        return embedded_state_dir

    @pytest.fixture(scope="class")
    @classmethod
    def host(cls, embedded_host: LibvirtHost) -> Iterator[LibvirtHost]:
        yield embedded_host
        for vm in embedded_host.list_vms():
            if vm.ownership:
                embedded_host.destroy(vm.name)

    @pytest.fixture(scope="class")
    @classmethod
    def image(cls, tiny_image: ImageVersion) -> ImageVersion:
        return tiny_image

    @pytest.fixture(scope="class")
    @classmethod
    def add_stranger(cls, host: LibvirtHost, state_dir: Path) -> Callable[[str], None]:
        def add(name: str) -> None:
            link = libvirt.open(f"qemu:///embed?root={make_runtime_dir(state_dir)}/libvirt")
            link.defineXML(STRANGER.format(name=name, disk=state_dir / f"{name}.img"))
            link.close()

        return add

    @pytest.fixture(scope="class")
    @classmethod
    def break_disk(cls, state_dir: Path) -> Callable[[VmSpec], None]:
        def leave_part(spec: VmSpec) -> None:
            parts = state_dir / "desktops/.parts"
            parts.mkdir(exist_ok=True)
            name = f"{spec.name}.{spec.generation}.qcow2.0123abcd.part"
            (parts / name).write_bytes(b"QFI\xfb")

        return leave_part

    def test_qemu_never_runs_as_root(self, host: LibvirtHost, spec: VmSpec) -> None:
        make_vm(host, spec)
        host.start(spec.name)
        (process,) = (left for left in leftovers_of(host, spec.name) if left.kind == "process")
        expected = pwd.getpwnam("libvirt-qemu").pw_uid if os.geteuid() == 0 else os.geteuid()
        assert Path("/proc", process.name).stat().st_uid == expected != 0
        assert Path(get_vm(host, spec.name).disks[0]).stat().st_uid == expected

    def test_qemu_that_dies_is_told(
        self,
        host: LibvirtHost,
        spec: VmSpec,
        events: EventLog,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        make_vm(host, spec)
        host.start(spec.name)
        (process,) = (left for left in leftovers_of(host, spec.name) if left.kind == "process")
        os.kill(int(process.name), signal.SIGKILL)
        events.wait(spec.name, VmEventKind.STOPPED, self.event_timeout)
        assert f"the QEMU of {spec.name} has died" in caplog.text

    def test_destroy_does_not_wait_for_process_1(self, host: LibvirtHost, spec: VmSpec) -> None:
        make_vm(host, spec)
        host.start(spec.name)
        begun = time.monotonic()
        host.destroy(spec.name)
        assert time.monotonic() - begun < 10

    def test_qemu_that_cannot_start_is_reported_and_reaped(
        self, host: LibvirtHost, spec: VmSpec, tmp_path: Path
    ) -> None:
        image = replace(spec.image, firmware=Firmware.KERNEL, kernel=tmp_path, initrd=tmp_path)
        make_vm(host, replace(spec, image=image))
        begun = time.monotonic()
        with pytest.raises(OperationFailed, match=spec.name):
            host.start(spec.name)
        assert time.monotonic() - begun < 20
        assert get_vm(host, spec.name).state == VmState.STOPPED

    def test_starts_are_aborted_at_any_moment(
        self, host: LibvirtHost, spec_for: Callable[..., VmSpec]
    ) -> None:
        """Also before QEMU runs; one that nobody reaps then libvirt waits for, over a minute."""
        specs = [spec_for(f"suite-aborted-{number}") for number in range(8)]
        for spec in specs:
            make_vm(host, spec)
        failed: list[BaseException] = []
        with ThreadPoolExecutor(2 * len(specs)) as threads:
            for delay in (0.0, 0.02, 0.04, 0.06, 0.1, 0.3):
                begun = time.monotonic()
                starts = [threads.submit(host.start, spec.name) for spec in specs]
                time.sleep(delay)
                aborts = [threads.submit(host.abort_start, s.name, s.uuid) for s in specs]
                wait(aborts)
                failed += [error for start in starts if (error := start.exception(60))]
                assert time.monotonic() - begun < 30
                for spec in specs:
                    host.destroy(spec.name)
        assert {type(error) for error in failed} == {OperationFailed}
        for spec in specs:
            remove_vm(host, spec.name)
            assert leftovers_of(host, spec.name) == []

    def test_uefi_variables_go_with_the_vm(self, host: LibvirtHost, spec: VmSpec) -> None:
        make_vm(host, replace(spec, image=replace(spec.image, firmware=Firmware.UEFI)))
        host.start(spec.name)
        assert "nvram" in {left.kind for left in leftovers_of(host, spec.name)}
        remove_vm(host, spec.name)
        assert leftovers_of(host, spec.name) == []

    def test_saved_state_without_a_vm_is_left_over(
        self, host: LibvirtHost, spec: VmSpec, state_dir: Path
    ) -> None:
        saved = state_dir / "libvirt/lib/qemu/save" / f"{spec.name}.save"
        saved.write_bytes(b"LibvirtQemudSave")
        (left,) = leftovers_of(host, spec.name)
        assert (left.kind, Path(left.name).samefile(saved)) == ("saved", True)
        host.undefine(spec.name)
        assert leftovers_of(host, spec.name) == []

    def test_disk_in_use_is_not_deleted(self, host: LibvirtHost, spec: VmSpec) -> None:
        make_vm(host, spec)
        host.start(spec.name)
        with pytest.raises(InvalidOperation, match=spec.name):
            host.delete_disk(spec.name, 1)

    def test_stranger_is_never_stopped_or_removed(
        self, host: LibvirtHost, stranger: VmInfo
    ) -> None:
        for forbidden in (host.destroy, host.undefine):
            with pytest.raises(InvalidOperation, match=stranger.name):
                forbidden(stranger.name)
        assert get_vm(host, stranger.name) == stranger

    def test_failing_subscriber_does_not_silence_others(
        self, host: LibvirtHost, spec: VmSpec, events: EventLog
    ) -> None:
        end = host.subscribe(lambda event: 1 / 0)
        make_vm(host, spec)
        host.start(spec.name)
        events.wait(spec.name, VmEventKind.STARTED, self.event_timeout)
        end()
