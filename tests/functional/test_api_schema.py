"""The whole API by its description: schemathesis sends what that allows, and what it does not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from live.api import ApiClient, make_token
from live.service import Service, until
from openrdms.frontends.web.app import make_app
from openrdms.frontends.web.backend import Backend

_EXAMPLES = 3 if settings.default.max_examples <= 100 else 100
"""Of each operation, beside those that cover its description; more with the long profile."""

_description = make_app(cast("Backend", None))._app.openapi()  # type: ignore[attr-defined]
_schema = schemathesis.openapi.from_dict(_description).exclude(path_regex="/events$")
"""But for streams of events, which never end; see test_events."""

_TOOLS = ("setpriv", "qemu-img", "qemu-system-x86_64")
"""What the service finds: nothing that builds images, which takes minutes."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    path: Path = tmp_path_factory.mktemp("schema")
    tools = path / "tools"
    tools.mkdir()
    for name in _TOOLS:
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    running = Service(
        path / "state",
        f"simulator://{path}/hosts?hosts=2&clone_ms=0&start_ms=0&boot_ms=0",
        environment={**os.environ, "PATH": str(tools), "XDG_CACHE_HOME": str(path / "cache")},
    )
    try:
        running.start()
        yield running
    finally:
        running.clear()


@pytest.fixture(scope="module")
def session(service: Service) -> requests.Session:
    """Connections that are kept."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(service.state_dir / "tls" / "certificate.pem")
    return session


@pytest.fixture(scope="module")
def token(service: Service) -> str:
    """An administrator's."""
    return make_token(service)


@pytest.fixture(scope="module")
def filled(service: Service, token: str) -> None:
    """Something for what is asked to be there."""
    with ApiClient(service, token) as client:
        client.ask("POST", "/collections", 201, json={"alias": "pool", "allowed": ["Everyone"]})
        job = {
            "action": "create",
            "collection": "pool",
            "image": "image:tiny",
            "name_prefix": "vd-",
            "hosts": [{"count": 3}],
        }
        guid = client.ask("POST", "/jobs", 202, json=job)["guid"]
        until("the job ends", lambda: client.ask("GET", f"/jobs/{guid}")["ended"])


@pytest.mark.hypothesis
@pytest.mark.timeout(1200)
@_schema.parametrize()
@settings(
    max_examples=_EXAMPLES,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_operation(
    case: schemathesis.Case,
    service: Service,
    session: requests.Session,
    token: str,
    filled: None,
) -> None:
    """Rules that no JSON schema can say are told by 422, so not all that it allows is accepted.

    That nobody gets anything without a token is the next test's.
    """
    case.call_and_validate(
        base_url=service.ready["web"],
        session=session,
        headers={"authorization": f"Bearer {token}"},
        excluded_checks=[positive_data_acceptance, ignored_auth],
        timeout=60,
        verify=session.verify,
    )


def test_nobody_gets_anything(service: Service) -> None:
    """Every operation, without a token."""
    client = requests.Session()
    client.trust_env = False
    client.verify = str(service.state_dir / "tls" / "certificate.pem")
    for path, operations in _description["paths"].items():
        for method in operations:
            url = service.ready["web"].rstrip("/") + path
            reply = client.request(method, url, timeout=60)
            assert reply.status_code == 401, f"{method} {path}"
            assert reply.headers["content-type"] == "application/problem+json"
