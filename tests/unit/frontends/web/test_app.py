"""What the application answers whatever its routes meet, and which files it serves."""

from __future__ import annotations

import asyncio
from typing import NoReturn, cast

import httpx
import pytest
from structlog.testing import capture_logs

from openrdms.frontends.web import pages
from openrdms.frontends.web.app import make_app
from openrdms.frontends.web.backend import Backend


class Defective:
    """Services none of which works."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(f"a secret of {name}")


def get(path: str, **headers: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        app = make_app(cast("Backend", Defective()))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://here") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


def test_a_defect_is_a_problem() -> None:
    with capture_logs() as lines:
        reply = get("/api/v1/me", authorization="Bearer x")
    assert [line["status"] for line in lines if line["event"] == "web"] == [500]
    assert reply.status_code == 500
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["status"] == 500
    assert reply.headers["x-request-id"]
    assert "secret" not in reply.text


def test_a_defect_is_a_page_for_people() -> None:
    reply = get("/console", cookie="__Host-openrdms=x", accept="text/html")
    assert reply.status_code == 500
    assert reply.headers["content-type"].startswith("text/html")
    assert reply.text.count("Internal Server Error") == 2  # title and heading
    assert "secret" not in reply.text


@pytest.mark.parametrize("below", [pages.MODULES, "/modules"])
def test_only_files_of_packages_are_served(below: str) -> None:
    assert (pages.HERE / "node_modules/.package-lock.json").is_file()
    assert get(f"{below}/@novnc/novnc/core/rfb.js").status_code == 200
    assert get(f"{below}/.package-lock.json").status_code == 404
