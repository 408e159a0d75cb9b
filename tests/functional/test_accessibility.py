"""What everybody meets first, by axe's rules; other pages are checked where they are tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from live.axe import check_access
from live.chromium import Browse
from live.service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    path: Path = tmp_path_factory.mktemp("access")
    running = Service(path / "state", f"simulator://{path}/hosts?hosts=1")
    try:
        running.start()
        yield running
    finally:
        running.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_sign_in_page(service: Service, browse: Browse, scheme: str) -> None:
    page = browse(service, user=None, color_scheme=scheme)
    page.locator("input[name=name]").fill("nobody")
    page.locator("input[name=password]").fill("wrong-password")
    page.locator("input[name=password]").press("Enter")
    page.get_by_role("alert").wait_for()
    check_access(page)


def test_what_is_found_fails(service: Service, browse: Browse) -> None:
    page = browse(service, user=None)
    page.evaluate("document.body.append(document.createElement('button'))")
    with pytest.raises(AssertionError, match="button-name"):
        check_access(page)
