"""`rdms collection update` against a service whose pools keep desktops ready meanwhile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from live.service import USER, Service, rdms, run_rdms, until
from openrdms.adapters import sql

HOST = "host1.sim.local"
CLUSTER = "hosts=1&slots=8&clone_ms=2&start_ms=2&boot_ms=10&agent_ms=1&copy_ms=1&users=0"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """With two versions of ``tiny`` and a pool of four desktops of the first, all ready."""
    cluster = f"simulator://{tmp_path / 'cluster'}?{CLUSTER}"
    service = Service(tmp_path / "state", cluster, options=("--boot-timeout", "8"))
    service.start()
    service.stop()
    with closing(sql.open_store(f"sqlite:///{service.state_dir}/records.sqlite")) as store:
        tiny = store.find_image("tiny")
        assert tiny is not None
        second = shutil.copy(tiny.disk, tiny.disk.with_name("second.qcow2"))
        store.add_image(replace(tiny, sha256="0" * 64, disk=Path(second)))
    service.start()
    made = ("--image", "image:tiny@1", "--count", "4")
    rdms("collection", "create", "pool", *made, "--wait", *login(service))
    until("all are ready", lambda: uses(service) == ["ready"] * 4)
    yield service
    service.clear()


def login(service: Service) -> list[str]:
    state = service.state_dir
    return [
        *("--ready-file", str(state / "ready.json"), "--user", USER),
        *("--ca", str(state / "tls" / "certificate.pem")),
        *("--password-file", str(state / "admin-password")),
    ]


def cluster(service: Service) -> str:
    return str(service.state_dir.parent / "cluster")


def update(service: Service, *arguments: str) -> Any:
    return rdms("collection", "update", "pool", *arguments, *login(service))


def uses(service: Service) -> list[str]:
    return [str(use).lower() for (use,) in service.read_rows(_USES)]


def images(service: Service) -> list[str]:
    return [image for (image,) in service.read_rows("SELECT image FROM desktops ORDER BY name")]


_USES = "SELECT use FROM desktop_uses ORDER BY name_key"


def log_on(service: Service, vm: str) -> None:
    rdms("simulator", "log-on", cluster(service), HOST, vm, "ada")
    until(f"{vm} is taken", lambda: "taken" in uses(service))


def test_there_in_waves_and_back(service: Service) -> None:
    waves = ("--waves", "1,50%,100%", "--probe", "true")
    done = update(service, "image:tiny@2", *waves, "--wait")
    assert (done["State"], done["TotalSucceeded"]) == ("JOB_COMPLETED", 4)
    assert images(service) == ["tiny@2"] * 4
    assert update(service, "image:tiny@1", "--wait")["TotalSucceeded"] == 4
    assert images(service) == ["tiny@1"] * 4
    until("all are ready", lambda: uses(service) == ["ready"] * 4)
    assert service.find_orphans() == []


def test_broken_image_leaves_the_pool_as_it_was(service: Service) -> None:
    fault = ("--image", "tiny@2", "--kind", "no-agent")
    rdms("simulator", "fault", cluster(service), *fault)
    log_on(service, "pool-4")
    command = ["collection", "update", "pool", "image:tiny@2", "--waves", "1,100%"]
    done = run_rdms([*command, "--wait", *login(service)])
    assert done.returncode != 0
    assert "UPDATE_FAILED" in done.stderr
    expected = ["ready", "ready", "ready", "taken"]
    until("the pool is as it was", lambda: uses(service) == expected)
    assert images(service) == ["tiny@1"] * 4
    sessions = rdms("session", "list", *login(service))
    assert [session["VMName"] for session in sessions] == ["pool-4"]
    assert service.find_orphans() == []


def test_update_that_waits_for_a_user_outlives_the_service(service: Service) -> None:
    log_on(service, "pool-2")
    guid = update(service, "image:tiny@2", "--max-unavailable", "2")["UpdateJobGuid"]
    until("the others are done", lambda: images(service).count("tiny@2") == 3)
    service.kill()
    service.start()
    assert rdms("job", "show", guid, *login(service))["State"] == (
        "UPDATE_VIRTUAL_DESKTOP_INPROGRESS"
    )
    rdms("simulator", "log-off", cluster(service), HOST, "pool-2", "ada")
    assert rdms("job", "watch", guid, *login(service))["TotalSucceeded"] == 4
    assert images(service) == ["tiny@2"] * 4
    assert service.find_orphans() == []


def test_plan_of_an_update_changes_nothing(service: Service) -> None:
    log_on(service, "pool-2")
    planned = update(service, "image:tiny@2", "--waves", "1,100%", "--dry-run")
    assert (planned["LogsOff"], planned["WaitsFor"]) == (None, ["pool-2\\ada"])
    assert sorted(one["Wave"] for one in planned["Desktops"]) == [1, 2, 2, 2]
    forced = update(service, "image:tiny@2", "--force-logoff", "2126-01-01", "--dry-run")
    assert (forced["LogsOff"], forced["WaitsFor"]) == (["pool-2\\ada"], None)
    assert rdms("collection", "show", "pool", *login(service))["CollectionState"] == (
        "JOB_COMPLETED"
    )
    assert images(service) == ["tiny@1"] * 4


@pytest.mark.parametrize("wrong", [("--waves", "9%,5%,100%"), ("--max-unavailable", "none")])
def test_options_that_mean_nothing_are_refused(service: Service, wrong: tuple[str, str]) -> None:
    done = run_rdms(["collection", "update", "pool", "image:tiny@2", *wrong, *login(service)])
    assert done.returncode != 0
    assert wrong[0] in done.stderr
