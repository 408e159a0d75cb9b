"""ProvisioningPrepJob on a real virtual machine: an image from a desktop that goes on running."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import ServiceFactory
from live.rollout import (
    BOOT_S,
    COLLECTION,
    DESKTOP,
    begin_create,
    follow,
    list_sessions,
    remove_all,
)
from live.service import Service, list_disks, rdms, until

pytestmark = [pytest.mark.libvirt, pytest.mark.slow, pytest.mark.timeout(1800)]

EXPORT = r"\\server\exports\made"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    state_dir = tmp_path_factory.mktemp("prepare")
    rdms("image", "build", "tiny", "--variant", "tiny", "--state-dir", state_dir)
    return running_service(state_dir)


def test_image_of_a_running_desktop_makes_desktops(service: Service) -> None:
    wire = service.wire()
    made = follow(wire, begin_create(wire, "made", 1), BOOT_S)
    assert made.state == "JOB_COMPLETED"
    [desktop] = wire.enumerate(DESKTOP, "Name = 'made-1'")
    prepared = wire.invoke(
        COLLECTION,
        "ProvisioningPrepJob",
        CollectionAlias="",
        VMHostName=desktop["HostName"],
        VMName="made-1",
        ExportToLocation=EXPORT,
        bSysPrep="true",
        MachineName="",
        UserName="",
        Password="",
    )
    assert prepared.return_value == 0
    assert follow(wire, str(prepared.outputs["JobGuid"]), 2 * BOOT_S).state == "JOB_COMPLETED"
    until("its user is back", lambda: list_sessions(wire, "made"), seconds=BOOT_S, pause=2)

    copied = follow(wire, begin_create(wire, "copied", 1, base=EXPORT), BOOT_S)

    assert copied.state == "JOB_COMPLETED"
    assert list_disks(service.state_dir / "desktops") == [
        "copied-1.1.qcow2",
        "made-1.1.qcow2",
    ]
    assert list(Path(service.state_dir / "staging").iterdir()) == []
    assert service.find_orphans() == []
    remove_all(wire, "copied")
    remove_all(wire, "made")
