"""The simulator's screens and keyboards, as a viewer meets them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from live.rfb import Ended, Viewer
from openrdms.adapters import simulator
from openrdms.adapters.simulator import SimulatorHost, screen

CONTROL, ALT, DELETE = 0xFFE3, 0xFFE9, 0xFFFF


@pytest.fixture
def host(tmp_path: Path) -> Iterator[SimulatorHost]:
    (host,) = simulator.connect(f"simulator://{tmp_path}?hosts=1")
    simulator.add_stranger(tmp_path, "host1", "desk")
    yield host
    host.close()


@pytest.fixture
def viewer(host: SimulatorHost) -> Iterator[Viewer]:
    viewer = Viewer(host.open_display("desk"))
    yield viewer
    viewer.close()


def colours(pixels: bytes) -> set[bytes]:
    return {pixels[at : at + 3] for at in range(0, len(pixels), 4)}


def test_it_is_the_screen_of_the_screenshot(viewer: Viewer) -> None:
    assert (viewer.width, viewer.height, viewer.name) == (screen.WIDTH, screen.HEIGHT, "desk")
    assert colours(viewer.look()) == {colour[::-1] for colour in screen.COLOURS}


def test_what_is_typed_is_in_the_screenshot(host: SimulatorHost, viewer: Viewer) -> None:
    shown, pictured = viewer.look(), host.screenshot("desk")
    viewer.type("hellp")
    viewer.press(0xFF08)
    viewer.type("o\nworld")
    viewer.look_until_it_changes(shown)
    assert host.screenshot("desk") != pictured


def test_a_user_who_logs_on_is_seen_by_who_watches(
    host: SimulatorHost, viewer: Viewer, tmp_path: Path
) -> None:
    shown = viewer.look()
    simulator.log_on(tmp_path, "host1", "desk", "zoe")
    viewer.look_until_it_changes(shown)


def test_what_is_cut_elsewhere_does_no_harm(viewer: Viewer) -> None:
    shown = viewer.look()
    viewer._stream.sendall(struct.pack(">B3xI", 6, 5) + b"paste")
    viewer.press(CONTROL, ord("v"))
    assert viewer.look() == shown


def test_three_keys_at_once(viewer: Viewer) -> None:
    shown = viewer.look()
    viewer.press(CONTROL, ALT, DELETE)
    viewer.look_until_it_changes(shown)


def test_pixels_of_one_octet(viewer: Viewer) -> None:
    form = struct.pack(">BBBBHHHBBB3x", 8, 8, 0, 1, 7, 7, 3, 0, 3, 6)
    viewer._stream.sendall(b"\0\0\0\0" + form)
    viewer._stream.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, viewer.width, viewer.height))
    update = viewer._take(4 + screen.ROWS * (12 + viewer.width * screen.CELL_HEIGHT))
    assert update[:4] == struct.pack(">BxH", 0, screen.ROWS)


@pytest.mark.parametrize("message", [b"\xfe", b"\0\0\0\0" + bytes(16)], ids=["unknown", "palette"])
def test_what_is_no_rfb_ends_it(viewer: Viewer, message: bytes) -> None:
    viewer._stream.sendall(message)
    with pytest.raises(Ended):
        viewer.look()


def test_it_ends_with_its_host(host: SimulatorHost, viewer: Viewer) -> None:
    host.close()
    viewer.wait_for_end()
