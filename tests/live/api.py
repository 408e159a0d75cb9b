"""Programs that use the REST API: an API token instead of a password."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from live.browser import WebClient
from live.service import PASSWORD, USER, Service

SCOPES = ("read", "write", "sessions", "connect", "metrics")


def make_token(service: Service, account: str = USER, scopes: Sequence[str] = SCOPES) -> str:
    """A token of an account, made by the administrator in a browser."""
    with WebClient(service) as client:
        client.sign_in(USER, PASSWORD)
        newest = "SELECT csrf FROM web_sessions ORDER BY began DESC LIMIT 1"
        client.headers["x-csrf-token"] = service.read_rows(newest)[0][0]
        reply = client.post(
            f"/api/v1/users/{account}/tokens", json={"name": "test", "scopes": [*scopes]}
        )
        assert reply.status_code == 201, reply.text
        return str(reply.json()["secret"])


class ApiClient(WebClient):
    """Paths are those below /api/v1."""

    def __init__(self, service: Service, token: str) -> None:
        super().__init__(service)
        self.base_url = f"{service.ready['web']}api/v1/"
        self.headers["authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """What the reply says as JSON, which must have that status."""
        reply = self.request(method, path.lstrip("/"), **options)
        assert reply.status_code == status, f"{reply.status_code}: {reply.text}"
        return reply.json() if reply.content else None
