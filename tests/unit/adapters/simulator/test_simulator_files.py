"""The files the simulator makes and reads are what their formats say."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrdms.adapters import simulator
from openrdms.adapters.simulator import state
from openrdms.adapters.simulator.disk_image import empty_qcow2
from openrdms.adapters.simulator.screen import COLUMNS, ROWS, render
from openrdms.model.host import VmState


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


def test_state_of_an_earlier_version_is_brought_up_to_date(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "state.sqlite")) as db:
        for statement in state._SCHEMA:
            older = statement
            for _, column, kind in state._ADDED:
                older = re.sub(rf",\s+{column} {kind}", "", older)
            db.execute(older)
        db.execute("INSERT INTO hosts (name, ordinal) VALUES ('host1.sim.local', 1)")
        db.executemany(
            """INSERT INTO disks (host, vm, generation, name, image, virtual_bytes, hostname)
               VALUES ('host1.sim.local', 'old', ?, ?, 'tiny@1', 1, 'old')""",
            [(1, "old.1.qcow2"), (2, "old.2.qcow2")],
        )
        db.execute(
            """INSERT INTO vms (host, name, uuid, mac, memory_mib, vcpus, disk)
               VALUES ('host1.sim.local', 'old', ?, '', 1, 1, 'old.qcow2')""",
            (str(UUID(int=1)),),
        )
        db.commit()
    (host,) = simulator.connect(f"simulator://{tmp_path}?hosts=1&capacity=1")
    assert host.describe().free_bytes == 0
    assert [(vm.name, vm.state) for vm in host.list_vms()] == [("old", VmState.STOPPED)]
    host.close()
