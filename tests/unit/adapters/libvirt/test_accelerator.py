from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from openrdms.adapters.libvirt import accelerator
from openrdms.adapters.libvirt.account import let_pass, qemu_account

BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_probe_sees_a_guest_run() -> None:
    assert accelerator.probe(["-accel", "tcg"])


def test_probe_does_not_run_qemu_as_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text('#!/bin/sh\n[ "$(id -u)" -ne 0 ] && [ "$(id -g)" -ne 0 ] && exit 99\n')
    qemu.chmod(0o755)
    if account := qemu_account():
        let_pass(account, tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert accelerator.probe([])


@pytest.mark.parametrize(
    "acceleration",
    [["-accel", "no-such-thing"], ["-accel", "tcg", "-S"]],
    ids=["refused", "hangs"],
)
def test_probe_sees_that_none_runs(
    acceleration: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "_PROBE_SECONDS", 1)
    assert not accelerator.probe(acceleration)


@pytest.mark.parametrize(
    ("device", "module", "runs", "expected"),
    [
        ("device", "module", True, "kvm"),
        ("device", "module", False, "qemu"),
        ("device", "absent", True, "qemu"),
        ("absent", "module", True, "qemu"),
    ],
)
def test_kvm_needs_device_module_and_a_guest_that_ran(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    module: str,
    runs: bool,
    expected: str,
) -> None:
    for name in ("device", "module"):
        (tmp_path / name).touch()
    monkeypatch.setattr(accelerator, "_DEVICE", tmp_path / device)
    monkeypatch.setattr(accelerator, "_MODULES", (tmp_path / module,))
    monkeypatch.setattr(accelerator, "probe", lambda _: runs)
    assert accelerator.find_accelerator(tmp_path / "cache.json") == expected


@pytest.mark.parametrize(
    ("cached", "expected"),
    [
        (json.dumps({"boot": BOOT, "accelerator": "kvm"}), "kvm"),
        (json.dumps({"boot": "earlier", "accelerator": "kvm"}), "qemu"),
        ("{", "qemu"),
    ],
    ids=["this boot", "another boot", "broken"],
)
def test_answer_holds_until_the_machine_boots_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: str, expected: str
) -> None:
    cache = tmp_path / "cache.json"
    cache.write_text(cached)
    monkeypatch.setattr(accelerator, "_MODULES", ())
    assert accelerator.find_accelerator(cache) == expected
    assert json.loads(cache.read_text()) == {"boot": BOOT, "accelerator": expected}
