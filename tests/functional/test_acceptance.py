"""What administrators and stock clients run into first, on the simulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from conftest import ServiceFactory
from live.rollout import create_collection
from live.service import Service
from live.service import rdms as run_rdms
from openrdms import cli


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("acceptance")
    cluster = f"simulator://{place}/cluster?hosts=2&clone_ms=5&start_ms=5&boot_ms=50&agent_ms=5"
    return running_service(place / "state", cluster)


@pytest.fixture(scope="module")
def cluster(service: Service) -> Path:
    return service.state_dir.parent / "cluster"


def rdms(service: Service, *arguments: str) -> Any:
    """What the command prints as JSON; None when it prints nothing."""
    environment = {
        "RDMS_READY_FILE": str(service.state_dir / "ready.json"),
        "RDMS_CA": str(service.state_dir / "tls" / "certificate.pem"),
        "RDMS_USER": "admin",
        "RDMS_PASSWORD_FILE": str(service.state_dir / "admin-password"),
    }
    command = [*arguments, "--json"]
    done = CliRunner().invoke(cli.build(arguments[:1]), command, env=environment)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if done.stdout.strip() else None


def list_vms(cluster: Path) -> list[str]:
    hosts = run_rdms("simulator", "state", cluster)["hosts"]
    return [vm["name"] for host in hosts for vm in host["vms"]]


def test_a_name_with_blanks_gives_desktops_names_that_hosts_may_have(service: Service) -> None:
    made = rdms(
        service,
        *("collection", "create", "Sales & Service", "--count", "1", "--image", "image:tiny"),
        "--wait",
    )

    assert (made["Alias"], made["State"]) == ("Sales & Service", "JOB_COMPLETED")
    [desktop] = rdms(service, "desktop", "list")
    assert desktop["Name"] == "Sales-Service-1"
    rdms(service, "collection", "delete", "Sales & Service", "--desktops")


def test_a_collection_is_shown_before_its_first_job(service: Service) -> None:
    create_collection(service.wire(), "Loose", managed=False)

    shown = rdms(service, "collection", "show", "loose")

    assert (shown["Alias"], shown["CollectionState"]) == ("Loose", "UNKNOWN")
    rdms(service, "collection", "delete", "Loose")


def test_delete_with_desktops_lets_adopted_ones_go(service: Service, cluster: Path) -> None:
    rdms(
        service,
        *("collection", "create", "Mixed", "--count", "1", "--image", "image:tiny", "--wait"),
    )
    run_rdms("simulator", "add-vm", cluster, "host1", "Stranger")
    rdms(service, "collection", "add-desktop", "Mixed", "Stranger")

    rdms(service, "collection", "delete", "mixed", "--desktops")

    assert rdms(service, "collection", "list") == []
    assert list_vms(cluster) == ["Stranger"]
    [stranger] = rdms(service, "desktop", "list")
    assert (stranger["Name"], stranger["CollectionAlias"]) == ("Stranger", "")
    assert service.find_orphans() == []
