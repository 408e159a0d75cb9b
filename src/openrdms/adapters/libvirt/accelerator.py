"""Whether KVM can be trusted on this machine.

That /dev/kvm opens and libvirt lists KVM proves little: under some nested hypervisors guests hang
early. So KVM is used only when the processor's own module carries it and a tiny guest ran.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import libvirt

from openrdms.adapters import processes
from openrdms.adapters.libvirt.account import Account, let_pass, qemu_account
from openrdms.model.errors import OperationFailed

_DEVICE = Path("/dev/kvm")
_MODULES = (Path("/sys/module/kvm_intel"), Path("/sys/module/kvm_amd"))
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROBE_SECONDS = 10
_EXIT_PORT = 0xF4
_ALIVE = 0x31
_ALIVE_STATUS = _ALIVE << 1 | 1
"""What QEMU returns when the guest writes _ALIVE to isa-debug-exit."""


def find_accelerator(cache: Path) -> str:
    """``kvm`` or ``qemu`` (libvirt's domain types). Probes once per boot of this machine."""
    boot = _BOOT_ID.read_text().strip()
    try:
        known = json.loads(cache.read_text())
    except (OSError, ValueError):
        known = {}
    if known.get("boot") != boot:
        known = {"boot": boot, "accelerator": "kvm" if _kvm_works() else "qemu"}
        cache.write_text(json.dumps(known))
    return str(known["accelerator"])


def ask_libvirt(connection: libvirt.virConnect) -> str:
    """The same of another machine, as its libvirt has it: name accel= where that is wrong."""
    with suppress(libvirt.libvirtError):
        connection.getDomainCapabilities(virttype="kvm")
        return "kvm"
    return "qemu"


def _kvm_works() -> bool:
    usable = os.access(_DEVICE, os.R_OK | os.W_OK) and any(map(Path.exists, _MODULES))
    return usable and probe(["-accel", "kvm", "-cpu", "host"])


def probe(acceleration: list[str]) -> bool:
    """Whether a guest boots through its firmware and runs code within the deadline.

    Asked as the account that will run desktops, which root is not.
    """
    account = qemu_account()
    with tempfile.NamedTemporaryFile() as disk:
        disk.write(_boot_sector())
        disk.flush()
        if account:
            os.chown(disk.name, account.uid, account.gid)
            let_pass(account, Path(disk.name))
        command = [*_become(account), *_probe_command(acceleration, disk.name)]
        try:
            processes.run(command, success=_ALIVE_STATUS)
        except OperationFailed:
            return False
    return True


def _become(account: Account | None) -> list[str]:
    """The kernel forgets on a change of account that this is to die with its parent."""
    if account is None:
        return []
    ids = [f"--reuid={account.uid}", f"--regid={account.gid}", "--init-groups"]
    return ["setpriv", *ids, "--pdeathsig=KILL"]


def _probe_command(acceleration: list[str], disk: str) -> list[str]:
    machine = ["-nodefaults", "-display", "none", "-m", "32", *acceleration]
    drive = ["-drive", f"file={disk},format=raw,if=ide,snapshot=on"]
    device = ["-device", f"isa-debug-exit,iobase={_EXIT_PORT:#x},iosize=1"]
    deadline = ["timeout", "--signal=KILL", str(_PROBE_SECONDS)]
    return [*deadline, "qemu-system-x86_64", *machine, *drive, *device]


def _boot_sector() -> bytes:
    """mov al, ALIVE; out PORT, al; hlt; and the signature that firmware looks for."""
    code = bytes([0xB0, _ALIVE, 0xE6, _EXIT_PORT, 0xF4])
    return code.ljust(510, b"\0") + b"\x55\xaa"
