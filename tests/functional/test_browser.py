"""The service in a real browser: what everything else there rests on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from live.chromium import Browse
from live.service import USER, Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    path: Path = tmp_path_factory.mktemp("browser")
    running = Service(path / "state", f"simulator://{path}/hosts?hosts=1")
    try:
        running.start()
        yield running
    finally:
        running.clear()


def test_sign_in(service: Service, browse: Browse) -> None:
    page = browse(service)
    assert page.evaluate("isSecureContext")
    assert page.evaluate("fetch('/api/v1/me').then(reply => reply.json())")["name"] == USER


def test_nobody_is_asked_who_he_is(service: Service, browse: Browse) -> None:
    page = browse(service, user=None)
    assert "/sign-in?next=" in page.url
