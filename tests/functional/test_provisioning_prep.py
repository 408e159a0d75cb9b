"""ProvisioningPrepJob: an image from a VM that stays as it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fakes.pool_rig import PoolRig
from fakes.provisioning_rig import Faults, Rig, create
from live.files import contents
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.collection import CollectionState
from openrdms.model.desktop_use import Use
from openrdms.model.image import GuestOs
from openrdms.services.provisioning.acceptance import Acceptance

SECRET = "correct horse battery staple"
EXPORT = "\\\\files\\exports\\IMGS\\__1"


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def rig(tmp_path: Path, faults: Faults) -> Iterator[Rig]:
    """With two desktops of Pool, and the calls on hosts until then forgotten."""
    rig = Rig(tmp_path, wrap_host=faults.wrap).resume()
    rig.add_collection()
    rig.run(create())
    faults.calls.clear()
    yield rig
    rig.close()


def prepare(rig: Rig, vm: str = "Pool-1", *, sysprep: bool = True) -> str:
    return rig.provisioning.prepare(
        collection="nobody",
        host="HOST1",
        vm=vm,
        export_to=EXPORT,
        sysprep=sysprep,
        machine="machine",
        user="administrator",
        password=SECRET,
    )


def assert_vm_is_as_before(rig: Rig, vm: str, state: str) -> None:
    found = {vm["name"]: vm["state"] for host in rig.truth()["hosts"] for vm in host["vms"]}
    assert found == {"pool-1": "running", "pool-2": "running"} | {vm: state}
    assert rig.vms()["pool-1"] == ["pool-1.1.qcow2"]
    assert rig.orphans() == []
    assert list((rig.simulator.parent / "state" / "prep").glob("*")) == []


@pytest.mark.parametrize("sysprep", [True, False])
def test_image_is_sealed_and_found_by_its_location(
    rig: Rig, faults: Faults, *, sysprep: bool
) -> None:
    report = rig.wait(prepare(rig, sysprep=sysprep))
    assert (report.state, report.collection) == (CollectionState.JOB_COMPLETED, "nobody")
    assert [(d.name, d.host) for d in report.desktops] == [("pool-1", "host1.sim.local")]
    image = rig.images.resolve(EXPORT)
    assert (image.name, image.parent, image.generalised) == ("prep-pool-1", "tiny@1", sysprep)
    assert image.disk.exists()
    assert any(call == "generalise" for call, _ in faults.calls) == sysprep
    assert ("generalise", "pool-1") not in faults.calls
    assert rig.state() is CollectionState.JOB_COMPLETED
    assert_vm_is_as_before(rig, "pool-1", "running")


def test_desktops_are_made_from_what_was_prepared(rig: Rig) -> None:
    rig.wait(prepare(rig))
    rig.add_collection("New")
    document = create(collection="New", name_prefix="new-", base_vm_location=EXPORT)
    assert rig.run(document).succeeded == 2
    assert {d.image for d in rig.store.list_desktops("New")} == {"prep-pool-1@1"}


def test_two_jobs_that_are_accepted_at_once_copy_a_vm_once(
    rig: Rig, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two services may: neither sees the other's."""
    monkeypatch.setattr(Acceptance, "_check_unused", lambda _self, _vm: None)
    go_on = threading.Event()

    def hold(call: str, _vm: str) -> None:
        assert call != "export_disk" or go_on.wait(60)

    faults.before = hold
    first = prepare(rig)
    rig.wait_until(lambda: ("export_disk", "pool-1") in faults.calls)
    second = rig.wait(prepare(rig))
    assert f"VM pool-1 is in work by job {first}" in second.error
    go_on.set()
    assert rig.wait(first).state is CollectionState.JOB_COMPLETED
    assert [image.reference for image in rig.images.list()] == ["prep-pool-1@1", "tiny@1"]
    assert_vm_is_as_before(rig, "pool-1", "running")


def test_vm_that_was_off_stays_off(rig: Rig) -> None:
    rig.hosts.get("host1").destroy("pool-1")
    rig.wait(prepare(rig))
    assert_vm_is_as_before(rig, "pool-1", "stopped")


def test_stranger_is_copied_as_its_definition_says(rig: Rig) -> None:
    simulator.add_stranger(rig.simulator, "host1.sim.local", "master", running=False)
    rig.wait(prepare(rig, "master"))
    image = rig.images.resolve(EXPORT)
    assert (image.name, image.parent, image.os) == ("prep-master", "", GuestOs.LINUX)
    assert_vm_is_as_before(rig, "master", "stopped")


@pytest.mark.parametrize("call", ["export_disk", "define", "generalise"])
def test_failure_drops_the_copy_and_leaves_the_vm(rig: Rig, faults: Faults, call: str) -> None:
    class Everyone(dict[tuple[str, str], Exception]):
        """The copy's name is not known before; the call alone decides."""

        def __contains__(self, key: object) -> bool:
            return isinstance(key, tuple) and key[0] == call

        def __missing__(self, key: object) -> Exception:
            return errors.OperationFailed("no such luck")

    faults.plan = Everyone()
    report = rig.wait(prepare(rig))
    assert (report.state, report.failed) == (CollectionState.JOB_ABORTED, 1)
    assert "no such luck" in report.desktops[0].error
    assert_vm_is_as_before(rig, "pool-1", "running")
    with pytest.raises(errors.InvalidParameter):
        rig.images.resolve(EXPORT)


def test_cancel_drops_the_copy_and_starts_the_vm_again(rig: Rig, faults: Faults) -> None:
    go_on = threading.Event()

    def hold(call: str, _vm: str) -> None:
        assert call != "generalise" or go_on.wait(60)

    faults.before = hold
    guid = prepare(rig)
    rig.wait_until(lambda: any(call == "generalise" for call, _ in faults.calls))
    assert any(vm.startswith("prep-") for vm in rig.vms())
    with pytest.raises(errors.InvalidOperation, match="in work"):
        prepare(rig)
    rig.provisioning.cancel(guid)
    go_on.set()
    report = rig.wait(guid)
    assert report.state is CollectionState.JOB_ABORTED
    assert report.desktops[0].undone[-1] == "shut down"
    assert_vm_is_as_before(rig, "pool-1", "running")
    assert [image.name for image in rig.images.list()] == ["tiny"]


def test_password_is_nowhere(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.wait(prepare(rig))
    for file, content in contents(rig.simulator.parent):
        assert SECRET.encode() not in content, file
    assert SECRET not in caplog.text


def test_cancel_after_the_guest_was_asked_to_shut_down_starts_it_again(
    rig: Rig, faults: Faults
) -> None:
    """The first request is not heeded in time; the cancel comes before the second."""
    guids: list[str] = []

    def cancel(call: str, vm: str) -> None:
        if (call, vm) == ("shut_down", "pool-1") and not guids:
            guids.extend(rig.provisioning.list_guids(running=True))
            rig.provisioning.cancel(guids[0])
            raise errors.OperationFailed("the guest takes its time")

    faults.before = cancel
    report = rig.wait(prepare(rig))
    assert report.state is CollectionState.JOB_ABORTED
    assert report.desktops[0].undone == ("shut down",)
    assert faults.calls.count(("shut_down", "pool-1")) == 2
    assert_vm_is_as_before(rig, "pool-1", "running")


def test_prep_ends_although_its_vm_is_gone(rig: Rig, faults: Faults) -> None:
    def lose(call: str, vm: str) -> None:
        if (call, vm) == ("export_disk", "pool-1"):
            rig.hosts.get("host1").undefine("pool-1")
            raise errors.OperationFailed("lost")

    faults.before = lose
    report = rig.wait(prepare(rig))
    assert (report.state, report.failed) == (CollectionState.JOB_ABORTED, 1)
    assert list((rig.simulator.parent / "state" / "prep").glob("*")) == []


def test_pool_leaves_the_vm_alone_while_it_is_copied(tmp_path: Path, faults: Faults) -> None:
    def linger(call: str, vm: str) -> None:
        if (call, vm) == ("export_disk", "pool-1"):
            time.sleep(0.5)  # more than a pool takes to make a desktop fresh

    with closing(PoolRig(tmp_path, wrap_host=faults.wrap).resume().fill(1)) as rig:
        faults.calls.clear()
        faults.before = linger
        assert rig.wait(prepare(rig, "pool-1")).state is CollectionState.JOB_COMPLETED
        calls = [call for call, vm in faults.calls if vm == "pool-1"]
        copying = calls[calls.index("shut_down") : calls.index("start")]
        assert not {"destroy", "create_disk", "define"} & {*copying}
        rig.wait_for("pool-1", Use.READY)  # which it is again once it was made fresh
