"""The files the simulator makes are what their formats say."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrdms.adapters.simulator.disk_image import empty_qcow2
from openrdms.adapters.simulator.screen import COLUMNS, ROWS, render


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk, its checksum verified (ISO/IEC 15948, 5.3)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    offset = 8
    while offset < len(png):
        (length,) = struct.unpack_from(">I", png, offset)
        kind_and_data = png[offset + 4 : offset + 8 + length]
        (checksum,) = struct.unpack_from(">I", png, offset + 8 + length)
        assert zlib.crc32(kind_and_data) == checksum
        yield kind_and_data[:4], kind_and_data[4:]
        offset += 12 + length


def pixel_rows(png: bytes) -> list[bytes]:
    parts = dict(chunks(png))
    width, height, depth, colours, *_ = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert (depth, colours) == (8, 3)
    pixels = zlib.decompress(parts[b"IDAT"])
    assert len(pixels) == height * (width + 1)
    return [pixels[row * (width + 1) : (row + 1) * (width + 1)] for row in range(height)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=150), max_size=40))
def test_any_text_gives_a_png_of_one_size(lines: list[str]) -> None:
    rows = pixel_rows(render(lines))
    assert (len(rows), len(rows[0])) == (ROWS * 21, 1 + COLUMNS * 12)
    assert {row[0] for row in rows} == {0}
    assert set().union(*rows) <= {0, 1}


def test_letter_is_drawn_from_its_bits() -> None:
    rows = pixel_rows(render(["L"]))[3:18:3]
    assert [tuple(row[1:10:3]) for row in rows] == [(1, 0, 0)] * 4 + [(1, 1, 1)]


def test_last_lines_stay_on_the_screen() -> None:
    assert render([*"ABC", *map(str, range(ROWS))]) == render([str(n) for n in range(ROWS)])


@pytest.mark.parametrize("virtual_bytes", [512, 1 << 29, (1 << 29) + 512, 1 << 30, 1 << 42])
def test_exported_disk_is_a_qcow2_that_qemu_accepts(tmp_path: Path, virtual_bytes: int) -> None:
    file = tmp_path / "disk.qcow2"
    file.write_bytes(empty_qcow2(virtual_bytes))
    subprocess.run(["qemu-img", "check", "-q", file], check=True)
    told = subprocess.run(
        ["qemu-img", "info", "--output=json", file], check=True, capture_output=True
    )
    info = json.loads(told.stdout)
    assert info["virtual-size"] == virtual_bytes
    assert "backing-filename" not in info
