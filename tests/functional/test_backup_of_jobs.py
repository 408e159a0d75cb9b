"""Records of a backup that was made while a job ran come back, on hosts that have gone on since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fakes.pool_rig import QUIET, PoolRig
from fakes.provisioning_rig import Faults, Rig, create, later, now
from openrdms.app import backup
from openrdms.model import errors
from openrdms.model.desktop import DesktopStatus
from openrdms.model.desktop_use import Use
from openrdms.model.job import JobAction, VmStatus
from openrdms.model.provisioning import render_job
from openrdms.model.reason import ReasonCode

SIZE = 3
NAMES = {f"pool-{number}" for number in range(1, SIZE + 1)}
CREATE = create((("host1.sim.local", SIZE),))


class Restored:
    """Two lives on the same hosts: the second has the records of a moment in the first."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file = directory / "backup.tar"
        self.faults = Faults()
        # Quiet: a desktop on which somebody logs on by himself is not made fresh.
        self.rig = Rig(directory, QUIET, wrap_host=self.faults.wrap).resume()
        self.rig.add_collection()

    def back_up_at(self, call: str, name: str) -> None:
        """Right before that call for that desktop."""

        def look(*now: str) -> None:
            if now == (call, name) and not self._file.exists():
                backup.back_up(self._directory / "state", self._file, images=False)

        self.faults.before = look

    def bring_back(self, kind: type[Rig] = Rig) -> Rig:
        assert self._file.exists()
        self.rig.close()
        backup.restore(self._file, self._directory / "state")
        self.rig = kind(self._directory, QUIET, wrap_host=self.faults.wrap).resume()
        return self.rig


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[Restored]:
    restored = Restored(tmp_path)
    yield restored
    restored.rig.close()


def go_on(rig: Rig, guid: str) -> None:
    rig.wait(guid)


def update(rig: Rig, guid: str) -> None:
    rig.wait(guid)
    rig.run(later(JobAction.PATCH))


def make_anew(rig: Rig, guid: str) -> None:
    rig.wait(guid)
    rig.run(later(JobAction.DELETE, *sorted(NAMES)))
    rig.run(CREATE)


@pytest.mark.parametrize("afterwards", [go_on, update, make_anew])
def test_what_a_create_has_made_since_is_left_alone(
    restored: Restored, afterwards: Callable[[Rig, str], None]
) -> None:
    """It may be somebody's by now: going on would make its disk anew, and then take it back."""
    restored.back_up_at("create_disk", "pool-2")
    guid = restored.rig.execute(CREATE)
    afterwards(restored.rig, guid)
    before = restored.rig.truth()
    rig = restored.bring_back()
    report = rig.report(guid)
    assert rig.job(guid).ended and report.code == ReasonCode.CANCELLED, report
    assert "that was restored" in report.error
    assert all(one.status is not VmStatus.IN_PROGRESS for one in report.desktops)
    assert rig.truth() == before
    known = {one.name for one in rig.store.list_desktops()}  # what was whole by then
    strangers = [one for one in rig.audit.find_orphans().orphans if one.name in NAMES - known]
    assert {one.name for one in strangers} == NAMES - known
    assert {one.code for one in strangers} <= {ReasonCode.UNKNOWN_VM}


def test_an_update_is_over(restored: Restored) -> None:
    rig = restored.rig
    rig.run(CREATE)
    restored.back_up_at("create_disk", "pool-2")
    guid = rig.execute(later(JobAction.PATCH))
    rig.wait(guid)
    before = rig.truth()
    rig = restored.bring_back()
    check_is_over(rig, guid)
    assert rig.truth() == before
    assert not [one for one in rig.audit.find_orphans().orphans if one.kind == "vm"]


class WholeRig(PoolRig):
    """As an administrator starts a service: it looks at hosts, too."""

    def resume(self) -> WholeRig:
        super().resume()
        self.reconciling.start()
        return self

    def close(self) -> None:
        self.reconciling.close()
        super().close()


@pytest.mark.parametrize("kind", [Rig, WholeRig])
@pytest.mark.parametrize("call", ["create_disk", "delete_unused_disks"])
def test_an_update_is_given_again(restored: Restored, kind: type[Rig], call: str) -> None:
    """What has gone through it since is of a generation that the records do not know."""
    document = later(JobAction.PATCH)
    restored.rig.run(CREATE)
    restored.back_up_at(call, "pool-2")
    restored.rig.wait(restored.rig.execute(document))
    rig = restored.bring_back(kind)
    report = rig.run(document)
    assert (report.succeeded, report.failed) == (SIZE, 0), report
    assert all(one.generation > 1 for one in rig.store.list_desktops())
    for one in rig.store.list_desktops():
        assert rig.vms()[one.name] == [f"{one.name}.{one.generation}.qcow2"]
    assert rig.files() == sorted(disk for disks in rig.vms().values() for disk in disks)
    assert not rig.orphans()


@pytest.mark.parametrize("kind", [Rig, WholeRig])
def test_an_update_that_is_given_again_goes_back(restored: Restored, kind: type[Rig]) -> None:
    """To what the records tell of, though another life has removed that disk."""
    document = later(JobAction.PATCH)
    restored.rig.run(CREATE)
    restored.back_up_at("create_disk", "pool-2")
    restored.rig.wait(restored.rig.execute(document))
    refusals = [errors.OperationFailed("no")]

    def refuse_once(call: str, vm: str) -> None:
        use = rig.store.find_use(vm) if call == "create_disk" else None
        if use and use.use is Use.WORK and refusals:  # the job's: the pool makes disks as well
            raise refusals.pop()

    rig = restored.bring_back(kind)
    restored.faults.before = refuse_once
    report = rig.run(document)
    assert (report.succeeded, report.failed) == (0, 1), report
    assert all(one.status is DesktopStatus.SUCCESS for one in rig.store.list_desktops())
    if isinstance(rig, PoolRig):
        for name in sorted(NAMES):  # each is made fresh, and is without its disk meanwhile
            rig.wait_for(name, Use.READY)
            assert rig.vms()[name] == [f"{name}.1.qcow2"]
        for host in rig.hosts.all():  # as it does now and then
            rig.reconciling.reconcile(host)
        assert not rig.orphans()
    assert {disk for disks in rig.vms().values() for disk in disks} <= {*rig.files()}


def test_a_delete_is_given_again(restored: Restored) -> None:
    document = later(JobAction.DELETE, *sorted(NAMES))
    restored.rig.run(CREATE)
    restored.back_up_at("destroy", "pool-2")
    guid = restored.rig.execute(document)
    restored.rig.wait(guid)
    rig = restored.bring_back()
    check_is_over(rig, guid)
    report = rig.run(document)
    assert report.succeeded == SIZE, report
    assert not (rig.store.list_desktops() or rig.vms() or rig.files() or rig.orphans())


def test_one_that_is_not_planned_yet_is_over(tmp_path: Path) -> None:
    rig, file = Rig(tmp_path), tmp_path / "backup.tar"
    rig.add_collection()
    job = rig.provisioning.make_job(render_job(CREATE), now())
    rig.store.accept_job(job, None)
    backup.back_up(tmp_path / "state", file, images=False)
    rig.close()
    backup.restore(file, tmp_path / "state")
    rig = Rig(tmp_path).resume()
    check_is_over(rig, job.guid)
    assert not rig.vms()
    rig.close()


def check_is_over(rig: Rig, guid: str) -> None:
    """No desktop is in its hands any more."""
    job = rig.job(guid)
    assert job.ended
    assert "that was restored" in job.error
    assert not [use for use in rig.store.list_uses() if use.use is Use.WORK or use.claim]
