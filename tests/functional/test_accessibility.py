"""What everybody meets first, by axe's rules; other pages are checked where they are tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from live.axe import check_access, check_access_in_both_schemes
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


@pytest.mark.parametrize("width", [1280, 360])
def test_the_sign_in_page(service: Service, browse: Browse, width: int) -> None:
    page = browse(service, user=None, viewport={"width": width, "height": 740})
    page.locator("input[name=name]").fill("nobody")
    page.locator("input[name=password]").fill("wrong-password")
    page.locator("input[name=password]").press("Enter")
    page.get_by_role("alert").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    check_access_in_both_schemes(page)


def test_what_is_found_fails(service: Service, browse: Browse) -> None:
    page = browse(service, user=None)
    page.evaluate("document.body.append(document.createElement('button'))")
    with pytest.raises(AssertionError, match="button-name"):
        check_access(page)
