"""kill -9 of the service on real QEMU, once for each kind of step of create and of cancel.

Each run of the service dies right after the side effect of one step, before its result is on
record (live.crashing); the next run finds that step done and goes on to die in the next one.
And twenty times at a moment that a seed decides.
"""

from __future__ import annotations

import fcntl
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from conftest import ServiceFactory
from fakes.code_digest import digest_code
from live.crashing import crashing_after
from live.rollout import (
    BOOT_S,
    COLLECTION,
    DESKTOP,
    begin_create,
    cancel,
    execute,
    follow,
    job_document,
    list_sessions,
    remove_all,
)
from live.service import Service, list_disks, rdms, until

PROOF = Path(__file__).parents[2] / "docs" / "proofs" / "kill-9-random-real.txt"
SEEDS = range(1, 21)
UNDO = ("destroy", "undefine", "delete_disk")

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(900)]


@pytest.fixture
def service(tmp_path: Path, services: ServiceFactory) -> Iterator[Service]:
    """Not yet started. Whatever becomes of it, the next test finds nothing of it."""
    rdms("image", "build", "tiny", "--variant", "tiny", "--state-dir", tmp_path)
    service = services(tmp_path)
    yield service
    service.clear()
    shutil.rmtree(tmp_path / "images")  # too large to keep; log and records stay


def test_create_killed_in_every_step(service: Service) -> None:
    service.start(crashing_after("create_disk"))
    guid = begin(service, "made")
    for call in ("define", "start", "ping", "set_identity"):
        service.start(crashing_after(call))
        service.wait_for_death(BOOT_S)
    service.start()
    wire = service.wire()
    report = follow(wire, guid or current_job(service, "made"), BOOT_S)

    assert (report.state, report.statuses) == ("JOB_COMPLETED", {"made-1": "Complete"})
    assert service.find_orphans() == []
    assert len(service.find_qemus()) == 1
    until("its user is logged on", lambda: list_sessions(wire, "made"), BOOT_S, 2)
    remove_all(wire, "made")
    assert_empty(service)
    service.stop()


def test_cancel_killed_in_every_step(service: Service) -> None:
    service.start(crashing_after(UNDO[0]))
    guid = begin_create(service.wire(), "gone", 1)
    until("its desktop boots", service.find_qemus, 60, 0.02)
    cancel_and_die(service, guid)
    for call in UNDO[1:]:
        service.start(crashing_after(call))
        service.wait_for_death()

    assert_aborted(service, "gone", guid, "start, define, disk")


def test_cancel_killed_while_the_identity_is_taken_back(service: Service) -> None:
    """The job is cancelled in its last step, which the first death has left half recorded."""
    service.start(crashing_after("set_identity"))
    guid = begin(service, "late", BOOT_S)
    service.start(crashing_after(UNDO[0]))
    guid = guid or current_job(service, "late")
    cancel_and_die(service, guid)

    assert_aborted(service, "late", guid, "identity, start, define, disk")


JOB_SECONDS = 12.0
"""About how long the job of one desktop takes."""

RESUME_SECONDS = 5.0
"""Within this of a restart a job goes on; besides what a start takes here when there is no job."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_at_random(service: Service, seed: int) -> None:
    """Create, a create that is cancelled, or delete; killed once or twice."""
    dice = random.Random(seed)
    what, alias = dice.choice(["create", "cancel", "delete"]), f"r{seed}"
    usual = measure(service.start)
    guid = begin_at_random(service, dice, what, alias)
    for _ in range(dice.choice([1, 1, 2])):
        time.sleep(dice.uniform(0, 1 if what == "delete" else JOB_SECONDS))
        service.kill()
        resumed = measure(service.start)
        assert resumed < usual + RESUME_SECONDS
    report = follow(service.wire(), guid, BOOT_S)

    ended = {"create": "JOB_COMPLETED", "delete": "JOB_COMPLETED", "cancel": "JOB_ABORTED"}
    assert report.state == ended[what], report
    assert service.find_orphans() == []
    left = [row["Name"] for row in service.wire().enumerate(DESKTOP)]
    assert left == ([f"{alias}-1"] if what == "create" else [])
    assert len(service.find_qemus()) == len(left)
    if left:
        remove_all(service.wire(), alias, BOOT_S)
    else:
        service.wire().delete(COLLECTION, Alias=alias)
    assert_empty(service)
    service.stop()
    keep(f"{seed:3} {what}: back after {resumed:.1f} s, {report.state}, well")


def keep(line: str) -> None:
    """In the proof, by seed. Lines of other code go; other processes may add theirs meanwhile."""
    head = f"Real QEMU (TCG), jobs of one desktop, code {digest_code()}; seconds until the service "
    head += "was ready again and its job went on"
    with PROOF.open("a+") as proof:
        fcntl.flock(proof, fcntl.LOCK_EX)
        proof.seek(0)
        found, *lines = proof.read().splitlines() or [""]
        kept = {one[:3]: one for one in lines[:-1] if found == head}
        kept[line[:3]] = line
        summary = f"{len(kept)} of {len(SEEDS)} seeds, all of them well"
        proof.truncate(0)
        proof.write("\n".join([head, *(kept[each] for each in sorted(kept)), summary]) + "\n")


def measure(act: Callable[[], None]) -> float:
    """Seconds that it takes."""
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def begin_at_random(service: Service, dice: random.Random, what: str, alias: str) -> str:
    """The job's GUID; of a cancelled one once that is on record."""
    wire = service.wire()
    guid = begin_create(wire, alias, 1)
    if what == "cancel":
        time.sleep(dice.uniform(0, JOB_SECONDS / 2))
        assert cancel(wire, guid) == 0
    if what == "delete":
        assert follow(wire, guid, BOOT_S).state == "JOB_COMPLETED"
        guid = execute(wire, job_document("Delete", alias, selected=(), on_error="Continue"))
    return guid


def begin(service: Service, alias: str, seconds: float = 60) -> str:
    """Begin a create that kills the service; its GUID, "" when the service died first."""
    guid = ""
    with suppress(requests.ConnectionError):
        guid = begin_create(service.wire(), alias, 1)
    service.wait_for_death(seconds)
    return guid


def current_job(service: Service, alias: str) -> str:
    """The GUID of the collection's job."""
    answer = service.wire().invoke(
        COLLECTION, "GetStringProperty", {"Alias": alias}, Key="ProvisioningJobId"
    )
    return str(answer.outputs["Value"])


def cancel_and_die(service: Service, guid: str) -> None:
    """Cancel a job whose undo kills the service, which may be before it answers."""
    with suppress(requests.ConnectionError):
        assert cancel(service.wire(), guid) == 0
    service.wait_for_death()


def assert_aborted(service: Service, alias: str, guid: str, undone: str) -> None:
    """Started once more, the service ends the job; nothing is left of it."""
    service.start()
    report = follow(service.wire(), guid)
    assert (report.state, report.statuses) == ("JOB_ABORTED", {f"{alias}-1": "Cancelled"})
    assert report.undone == {f"{alias}-1": undone}
    assert_empty(service)
    service.stop()


def assert_empty(service: Service) -> None:
    assert service.find_orphans() == []
    assert service.find_qemus() == {}
    assert list_disks(service.state_dir / "desktops") == []
