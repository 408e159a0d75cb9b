"""`rdms serve` as scripts rely on it: ready file, one owner, two ways to end, one process."""

from __future__ import annotations

import itertools
import json
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from live.files import contents
from live.service import PASSWORD, RDMS, Service, rdms
from openrdms.adapters.simulator import set_fault
from openrdms.cli.rdms_client import Login, RdmsClient
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import HostAllocation, JobDocument, OnError, render_job
from openrdms.model.report import Report, parse_report

ServiceFactory = Callable[..., Service]

COLLECTION = "Win32_RDMSVirtualDesktopCollection"


SPEED = "hosts=2&clone_ms=50&start_ms=1&boot_ms=50&agent_ms=1"


@pytest.fixture
def simulator(tmp_path: Path) -> str:
    return f"simulator://{tmp_path}/cluster?{SPEED}"


@pytest.fixture(scope="module")
def served(services: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A service that tests only look at; who starts it gives his files to nobody."""
    place = tmp_path_factory.mktemp("served")
    service = services(place / "state", f"simulator://{place}/cluster?{SPEED}")
    service.start(("sh", "-c", 'umask 077; exec "$@"', "sh", *RDMS))
    return service


def connect(service: Service) -> RdmsClient:
    certificate = service.state_dir / "tls" / "certificate.pem"
    return RdmsClient(Login(service.ready["wsman_https"], "admin", PASSWORD, certificate))


def start_job(client: RdmsClient, count: int) -> str:
    client.create(COLLECTION, {"Alias": "pool", "Name": "Pool", "Type": 1, "IsManaged": True})
    document = JobDocument(
        action=JobAction.CREATE,
        on_error=OnError.STOP,
        collection="pool",
        disk_kind=DiskKind.LINKED,
        base_vm_location="image:tiny",
        name_prefix="d-",
        hosts=(HostAllocation("", count),),
    )
    outputs = client.invoke(COLLECTION, "ProvisioningJobExecute", JobInputXml=render_job(document))
    return str(outputs["JobGuid"])


def wait_until_ended(client: RdmsClient, guid: str) -> Report:
    deadline = time.monotonic() + 60
    while (job := parse_report(client.get_report(guid))).percent < 100:
        assert time.monotonic() < deadline, job
        time.sleep(0.1)
    return job


def serve_once(state_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A service that is expected not to come up."""
    password = state_dir.parent / "password"
    password.write_text(PASSWORD)
    command = [*RDMS, "serve", "--state-dir", state_dir, "--admin-user", "admin"]
    command += ["--wsman-http-port", "0", "--wsman-https-port", "0"]
    command += ["--cimxml-http-port", "0", "--cimxml-https-port", "0"]
    command += ["--web-port", "0", "--rdp-port", "0"]
    command += ["--admin-password-file", password, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_when_the_ready_file_is_there_every_listener_accepts(served: Service) -> None:
    assert set(served.ready) >= {"pid", "wsman_http", "wsman_https"}
    paths = {"wsman": "/wsman", "cimxml": "/cimom"}
    for protocol, scheme in itertools.product(paths, ("http", "https")):
        url = urlsplit(served.ready[f"{protocol}_{scheme}"])
        assert (url.scheme, url.path) == (scheme, paths[protocol])
        socket.create_connection((url.hostname, url.port), 2).close()
    assert len(rdms("host", "list", "--state-dir", served.state_dir)) == 2


def test_a_second_service_is_refused_and_told_who_has_the_directory(served: Service) -> None:
    ready = served.state_dir / "ready.json"
    second = serve_once(served.state_dir, "--ready-file", str(ready))
    assert second.returncode == 1
    assert ready.exists()
    assert f"in use by process {served.ready['pid']}" in second.stderr


def test_what_is_kept_is_the_accounts_own_and_has_no_secret(served: Service) -> None:
    with connect(served) as client:
        assert list(client.enumerate(COLLECTION)) == []
    for name in ("service.json", "records.sqlite", "jobs.sqlite", "tls/key.pem", "admin.sock"):
        assert stat.S_IMODE((served.state_dir / name).stat().st_mode) == 0o600, name
    images = served.state_dir / "images"  # QEMU's account passes through
    assert stat.S_IMODE(images.stat().st_mode) == 0o755
    written = contents(served.state_dir)
    holders = [file.name for file, content in written if PASSWORD.encode() in content]
    assert holders == ["admin-password"]


def test_log_lines_are_json_where_nobody_looks(served: Service) -> None:
    events = [json.loads(line)["event"] for line in served.read_log().splitlines()]
    assert "ready" in events


def test_a_job_goes_on_after_sigterm_and_after_kill(
    services: ServiceFactory, tmp_path: Path, simulator: str
) -> None:
    service = services(tmp_path / "state", simulator)
    service.start(RDMS)
    for host in ("host1", "host2"):  # half a second for each disk: it is not over before the kill
        set_fault(tmp_path / "cluster", host, fault="slow")
    with connect(service) as client:
        guid = start_job(client, 40)
    service.stop()
    service.start(RDMS)
    with connect(service) as client:
        assert parse_report(client.get_report(guid)).percent < 100
    service.kill()
    for host in ("host1", "host2"):
        set_fault(tmp_path / "cluster", host)
    service.start(RDMS)
    with connect(service) as client:
        job = wait_until_ended(client, guid)
    assert (job.state.name, job.succeeded) == ("JOB_COMPLETED", 40)
    assert service.find_orphans() == []


def test_after_sigterm_commands_use_what_the_service_used(
    running_service: ServiceFactory, tmp_path: Path, simulator: str
) -> None:
    service = running_service(tmp_path / "state", simulator)
    service.stop()
    assert not (service.state_dir / "ready.json").exists()
    hosts = rdms("host", "list", "--state-dir", service.state_dir)
    assert [host["name"] for host in hosts] == ["host1.sim.local", "host2.sim.local"]
    images = rdms("image", "list", "--state-dir", service.state_dir)
    assert [image["name"] for image in images] == ["tiny"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hypervisor", "simulator:///tmp/x?colour=red"], "colour"),
        (["--hypervisor", "{simulator}", "--hypervisor", "{simulator}"], "host1.sim.local"),
        (["--hypervisor", "{simulator}", "--listen", "192.0.2.1"], "192.0.2.1"),
    ],
)
def test_what_cannot_be_served_is_named(
    tmp_path: Path, simulator: str, arguments: list[str], words: str
) -> None:
    ready = tmp_path / "ready"
    filled = [argument.format(simulator=simulator) for argument in arguments]
    refused = serve_once(tmp_path / "state", *filled, "--ready-file", str(ready))
    assert refused.returncode == 1
    assert words in refused.stderr
    assert not ready.exists()


def test_an_empty_password_is_refused(tmp_path: Path, simulator: str) -> None:
    (tmp_path / "empty").write_text("\n")
    refused = serve_once(
        tmp_path / "state",
        *("--hypervisor", simulator),
        *("--admin-password-file", str(tmp_path / "empty")),
    )
    assert refused.returncode == 1
    assert "password" in refused.stderr
