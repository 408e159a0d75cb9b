"""Live changes over the web port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from live.browser import WebClient
from live.service import PASSWORD, USER, Service, rdms, until
from openrdms.frontends.web.back_pressure import STREAMS

EVENTS = "/api/v1/events"


ServiceFactory = Callable[..., Service]


@pytest.fixture(scope="module")
def service(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    path = tmp_path_factory.mktemp("events")
    return running_service(path / "state", f"simulator://{path}/hosts?hosts=2")


@pytest.fixture
def client(service: Service) -> Iterator[WebClient]:
    with WebClient(service) as client:
        client.sign_in(USER, PASSWORD)
        yield client


def listen(reply: httpx.Response) -> Iterator[dict[str, str]]:
    """Events as a browser reads them; those without data are None's business."""
    event: dict[str, str] = {}
    for line in reply.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        else:
            yield event
            event = {}


def await_event(events: Iterator[dict[str, str]], kind: str) -> dict[str, str]:
    return next(event for event in events if event.get("event") == kind)


def set_host(service: Service, name: str, concurrency: int) -> None:
    rdms(
        *("host", "set", name, "--concurrency", str(concurrency)),
        *("--state-dir", service.state_dir),
    )


def host_name(service: Service) -> str:
    return str(rdms("host", "list", "--state-dir", service.state_dir)[0]["name"])


def test_a_change_is_told(service: Service, client: WebClient) -> None:
    host = host_name(service)
    with client.stream("GET", EVENTS, params={"kinds": "host"}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        events = listen(reply)
        assert "retry" in next(events)
        assert "data" not in next(events)  # a position, and that it has begun
        set_host(service, host, 3)
        assert await_event(events, "host")["data"] == f'{{"key": "{host}"}}'


def test_what_was_missed_is_told_at_the_return(service: Service, client: WebClient) -> None:
    host = host_name(service)
    with client.stream("GET", EVENTS) as reply:
        events = listen(reply)
        next(events)
        position = next(events)["id"]
    set_host(service, host, 4)
    with client.stream("GET", EVENTS, headers={"last-event-id": position}) as reply:
        assert host in await_event(listen(reply), "host")["data"]
    with client.stream("GET", EVENTS, params={"after": position}) as reply:
        assert host in await_event(listen(reply), "host")["data"]


def test_a_position_of_another_life_resets(client: WebClient) -> None:
    with client.stream("GET", EVENTS, params={"after": "00000000-7"}) as reply:
        assert await_event(listen(reply), "reset")["id"] != "00000000-7"


def test_kinds_must_be_known(client: WebClient) -> None:
    reply = client.get(EVENTS, params={"kinds": "job,weather"})
    assert reply.status_code == 422
    assert reply.json()["fields"][0]["field"] == "kinds"


def test_nobody_has_too_many_streams(client: WebClient) -> None:
    with ExitStack() as streams:
        for _ in range(STREAMS):
            reply = streams.enter_context(client.stream("GET", EVENTS))
            assert reply.status_code == 200
        refused = client.get(EVENTS)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["reason"] == "TooMuchInWork"

    def is_admitted() -> bool:
        with client.stream("GET", EVENTS) as reply:
            return reply.status_code == 200

    until("a stream is admitted again", is_admitted)


def test_who_signs_out_hears_no_more(service: Service, client: WebClient) -> None:
    host = host_name(service)
    with client.stream("GET", EVENTS, params={"kinds": "host"}) as reply:
        events = listen(reply)
        next(events), next(events)
        with WebClient(service) as same:
            same.cookies = client.cookies
            (token,) = service.read_rows("SELECT csrf FROM web_sessions ORDER BY began DESC")[0]
            assert same.post("/sign-out", data={"csrf_token": token}).status_code == 303
        set_host(service, host, 5)
        assert all("data" not in event for event in events)
    assert client.get(EVENTS).status_code == 401
