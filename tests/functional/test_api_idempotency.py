"""POSTs that come again, also after the service was killed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from live.api import ApiClient, make_token
from live.service import Service, until

COLLECTION = {"alias": "pool", "allowed": ["Everyone"]}
JOB = {
    "action": "create",
    "collection": "pool",
    "image": "image:tiny",
    "name_prefix": "vd-",
    "hosts": [{"count": 2}],
}


def key(text: str) -> dict[str, str]:
    return {"idempotency-key": text}


ServiceFactory = Callable[..., Service]


@pytest.fixture(scope="module")
def service(running_service: ServiceFactory, tmp_path_factory: pytest.TempPathFactory) -> Service:
    path = tmp_path_factory.mktemp("idempotency")
    return running_service(
        path / "state", f"simulator://{path}/hosts?hosts=2&clone_ms=0&start_ms=0"
    )


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    return make_token(service)


@pytest.fixture
def client(service: Service, token: str) -> Iterator[ApiClient]:
    with ApiClient(service, token) as client:
        yield client


def test_what_comes_again_is_answered_again(client: ApiClient) -> None:
    first = client.post("collections", json=COLLECTION, headers=key("a"))
    again = client.post("collections", json=COLLECTION, headers=key("a"))
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert client.post("collections", json=COLLECTION, headers=key("b")).status_code == 409


def test_a_key_is_of_one_request(client: ApiClient) -> None:
    client.ask("POST", "/collections", 201, json={"alias": "x"}, headers=key("one"))
    other = client.ask("POST", "/collections", 422, json={"alias": "y"}, headers=key("one"))
    assert other["fields"][0]["field"] == "Idempotency-Key"
    assert client.ask("GET", "/collections/y", 404)


def test_a_refusal_is_not_kept(client: ApiClient) -> None:
    client.ask("POST", "/collections", 422, json={"alias": "z", "zork": 1}, headers=key("r"))
    client.ask("POST", "/collections", 201, json={"alias": "z"}, headers=key("r"))


def test_a_message_is_sent_once(client: ApiClient) -> None:
    body = {"sessions": [{"host": "nothing", "id": 1}], "text": "x"}
    first = client.ask("POST", "/sessions/messages", json=body, headers=key("m"))
    assert client.ask("POST", "/sessions/messages", json=body, headers=key("m")) == first


def test_who_was_demoted_is_told_nothing(service: Service, client: ApiClient) -> None:
    client.ask("POST", "/users", 201, json={"name": "ada", "role": "administrator"})
    account = {"name": "new", "role": "user"}
    with ApiClient(service, make_token(service, "ada")) as hers:
        made = hers.ask("POST", "/users", 201, json=account, headers=key("user"))
        client.ask("PATCH", "/users/ada", json={"role": "auditor"})
        told = hers.ask("POST", "/users", 422, json=account, headers=key("user"))
        assert made["sid"] not in str(told)
        client.ask("PATCH", "/users/ada", json={"role": "administrator"})
        assert hers.ask("POST", "/users", 201, json=account, headers=key("user")) == made


@pytest.mark.parametrize("wrong", ["", "x" * 256])
def test_what_is_no_key(client: ApiClient, wrong: str) -> None:
    told = client.ask("POST", "/collections", 422, json={"alias": "k"}, headers=key(wrong))
    assert "dempotency" in told["fields"][0]["field"]


def test_a_job_is_the_same_whatever_dies(service: Service, client: ApiClient, token: str) -> None:
    client.post("collections", json=COLLECTION)
    first = client.ask("POST", "/jobs", 202, json=JOB, headers=key("job"))
    service.kill()
    _forget_answers(service)
    service.start()
    with ApiClient(service, token) as after:
        again = after.ask("POST", "/jobs", 202, json=JOB, headers=key("job"))
        assert again == first
        until("it ends", lambda: after.ask("GET", f"/jobs/{first['guid']}")["ended"])
        assert [job["guid"] for job in after.ask("GET", "/jobs")["items"]] == [first["guid"]]


def test_what_nobody_knows_is_said(service: Service, token: str) -> None:
    body = {"sessions": [{"host": "nothing", "id": 1}], "text": "x"}
    with ApiClient(service, token) as client:
        client.ask("POST", "/sessions/messages", json=body, headers=key("lost"))
    service.kill()
    _forget_answers(service)
    service.start()
    with ApiClient(service, token) as after:
        told = after.ask("POST", "/sessions/messages", 409, json=body, headers=key("lost"))
        assert told["reason"] == "OutcomeUnknown"


def _forget_answers(service: Service) -> None:
    """As if it had been killed before it could write down what came of them."""
    with closing(sqlite3.connect(service.state_dir / "records.sqlite")) as records, records:
        records.execute("UPDATE repeated_requests SET status = NULL, body = NULL")
