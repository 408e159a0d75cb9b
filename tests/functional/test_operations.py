"""What watches the service: figures for Prometheus, health, readiness, logs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from functional.test_cli import Rdms
from live.api import make_token
from live.browser import WebClient
from live.service import PASSWORD, USER, Service, until

ServiceFactory = Callable[..., Service]


@pytest.fixture(scope="module")
def service(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    place = tmp_path_factory.mktemp("operations")
    return running_service(place / "state", f"simulator://{place}/cluster?hosts=2")


@pytest.fixture
def web(service: Service) -> Iterator[WebClient]:
    with WebClient(service) as client:
        yield client


def scrape(web: WebClient, **headers: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Samples by name and labels."""
    reply = web.get("/metrics", headers=headers)
    assert reply.status_code == 200, reply.text
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_anybody_is_told_that_the_service_is_alive_and_ready_and_no_more(web: WebClient) -> None:
    for path, words in (("/healthz", "alive\n"), ("/readyz", "ready\n")):
        reply = web.get(path)
        assert (reply.status_code, reply.text) == (200, words)


def test_figures_are_for_staff_and_tokens_with_their_scope(
    service: Service, web: WebClient
) -> None:
    assert web.get("/metrics").status_code == 401
    reading = make_token(service, scopes=["read"])
    assert web.get("/metrics", headers={"authorization": f"Bearer {reading}"}).status_code == 403
    web.sign_in(USER, PASSWORD)
    assert "openrdms_build_info" in scrape(web)


def test_figures_say_what_is_and_what_has_been(service: Service, web: WebClient) -> None:
    token = make_token(service, scopes=["metrics"])
    web.get("/nothing/that/clients/make/up")
    web.get("/static/style.css")
    found = scrape(web, authorization=f"Bearer {token}")
    hosts = ("host1.sim.local", "host2.sim.local")
    assert found["openrdms_host_up"] == {(("host", host),): 1.0 for host in hosts}
    assert found["openrdms_displays_open"] == {(): 0.0}
    routes = {
        dict(labels)["route"] for labels in found["openrdms_http_request_duration_seconds_count"]
    }
    assert {"/sign-in", "/static/*", "/api/v1/users/{name}/tokens", "other"} <= routes
    assert not any("made" in route or "admin" in route for route in routes)


def test_what_is_logged_has_the_id_of_its_request_and_no_secrets(
    service: Service, web: WebClient
) -> None:
    token = make_token(service)
    web.sign_in(USER, PASSWORD)
    cookie = web.cookies["__Host-openrdms"]
    web.try_sign_in("mallory", "wrong-secret-7")
    web.get("/api/v1/me", headers={"authorization": f"Bearer {token}"})
    named = web.get("/api/v1/me", headers={"x-request-id": "mine-1"})
    assert named.headers["x-request-id"] == "mine-1"
    file = service.state_dir / "service.log"
    until("the last request is logged", lambda: "mine-1" in file.read_text())
    log = file.read_text()
    for secret in (PASSWORD, "wrong-secret-7", token, cookie):
        assert secret not in log
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["path"] for line in lines if line.get("request") == "mine-1"] == ["/api/v1/me"]
    assert all("request" in line for line in lines if line["event"] in ("web", "protocol"))


def test_requests_over_ws_management_have_ids_and_are_counted(
    service: Service, web: WebClient
) -> None:
    url, wrong = service.ready["wsman_https"], ("admin", "wrong-secret-8")
    named = {"x-request-id": "mine-2", "content-type": "application/soap+xml;charset=UTF-8"}
    reply = web.post(url, content=b"<a/>", auth=wrong, headers=named)
    assert (reply.status_code, reply.headers["x-request-id"]) == (401, "mine-2")
    reply = web.post(url, content=b"<a/>", auth=(USER, PASSWORD), headers=named)
    assert (reply.status_code, reply.headers["x-request-id"]) == (500, "mine-2")  # no envelope
    file = service.state_dir / "service.log"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    mine = [line for line in lines if line.get("request") == "mine-2"]
    assert "protocol" in {line["event"] for line in mine}
    assert any("sign in" in line["event"] for line in mine)  # what security logs has it too
    assert "wrong-secret-8" not in file.read_text()
    web.sign_in(USER, PASSWORD)
    counted = scrape(web)["openrdms_protocol_request_duration_seconds_count"]
    assert counted[("path", "/wsman"), ("status", "401")] >= 1


def test_a_job_is_seen_in_figures(service: Service, web: WebClient) -> None:
    made = ("--alias", "few", "--prefix", "few-", "--image", "image:tiny", "--host", "host1=2")
    Rdms(service).read("collection", "create", "Few", *made, "--wait")
    web.sign_in(USER, PASSWORD)
    found = scrape(web)
    assert list(found["openrdms_jobs"].values()) == [1.0]
    assert dict(next(iter(found["openrdms_jobs"])))["action"] == "create"
    desktops = found["openrdms_desktops"].items()
    few = [value for labels, value in desktops if ("collection", "few") in labels]
    assert sum(few) == 2
    steps = {dict(labels)["kind"] for labels in found["openrdms_step_duration_seconds_count"]}
    assert {"clone", "define", "start"} <= steps
    asked = {dict(labels)["operation"] for labels in found["openrdms_operations_total"]}
    assert "ProvisioningJobExecute" in asked
