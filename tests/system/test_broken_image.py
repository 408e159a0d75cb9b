"""A broken image on real QEMU: the update stops at its first wave, and no user is disturbed."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import ServiceFactory
from live.rollout import BOOT_S, begin_create, follow, list_sessions, session_keys
from live.service import USER, Service, rdms, until
from openrdms.adapters import sql

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(900)]

BOOT_TIMEOUT_S = 45
"""What the update gives the broken one, which boots in less but never answers."""


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With image ``tiny``, version 2 of which boots as well but has no guest agent."""
    state_dir = tmp_path_factory.mktemp("broken")
    rdms("image", "build", "tiny", "--variant", "tiny", "--state-dir", state_dir)
    with closing(sql.open_store(f"sqlite:///{state_dir}/records.sqlite")) as store:
        good = store.find_image("tiny")
        assert good is not None
        mask = "systemd.mask=qemu-guest-agent.service"
        broken = store.add_image(replace(good, cmdline=f"{good.cmdline} {mask}"))
        assert broken.reference == "tiny@2"
    return state_dir


def login(service: Service) -> list[str]:
    """Options by which the command finds the service."""
    state = service.state_dir
    return [
        *("--ready-file", str(state / "ready.json"), "--user", USER),
        *("--ca", str(state / "tls" / "certificate.pem")),
        *("--password-file", str(state / "admin-password")),
    ]


def test_broken_image_is_stopped_by_its_first_wave(
    state_dir: Path, running_service: ServiceFactory
) -> None:
    service = running_service(state_dir)
    wire = service.wire()
    created = follow(wire, begin_create(wire, "pool", 2, base="image:tiny@1"), BOOT_S)
    assert created.state == "JOB_COMPLETED"
    until("both users are on", lambda: len(list_sessions(wire, "pool")) == 2, BOOT_S, 2)
    service.stop()

    service = running_service(state_dir, options=("--boot-timeout", str(BOOT_TIMEOUT_S)))
    wire = service.wire()
    both = service.find_qemus().items()
    rdms("desktop", "stop", "pool-1", *login(service))
    [before] = until("one user is left", lambda: list_sessions(wire, "pool"), BOOT_S, 1)
    [machine] = both & service.find_qemus().items()
    asked = ("pool", "image:tiny@2", "--waves", "1,100%", "--max-unavailable", "1")
    guid = rdms("collection", "update", *asked, *login(service))["UpdateJobGuid"]
    report = follow(wire, guid, BOOT_S)

    assert report.state == "UPDATE_FAILED"
    assert "agent did not answer" in report.errors["pool-1"]
    assert report.statuses["pool-2"] == "Cancelled"

    def is_on() -> bool:
        return session_keys(before) in map(session_keys, list_sessions(wire, "pool"))

    until("the user is on", is_on, BOOT_S, 1)  # a guest that is slow to answer is left out
    assert machine in service.find_qemus().items(), "the desktop in use runs on"
    images = service.read_rows("SELECT name, image, generation FROM desktops ORDER BY name")
    assert images == [("pool-1", "tiny@1", 1), ("pool-2", "tiny@1", 1)]
    service.stop()

    service = running_service(state_dir)  # with its own patience
    wire = service.wire()
    rdms("desktop", "start", "pool-1", *login(service))
    until("it boots as before", lambda: len(list_sessions(wire, "pool")) == 2, BOOT_S, 2)
    assert service.find_orphans() == []
    disks = sorted(disk.name for disk in (state_dir / "desktops").glob("*.qcow2"))
    assert disks == ["pool-1.1.qcow2", "pool-2.1.qcow2"]
