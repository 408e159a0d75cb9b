"""libvirt's QEMU driver inside this process (libvirt.org/drvqemu.html, embedded driver).

Its directory belongs to one process at a time. VMs go on without the process, and the next one
that opens the directory finds them.
"""

from __future__ import annotations

from pathlib import Path

from openrdms.adapters.libvirt.account import Account, let_pass, let_use_kvm

_SETTINGS = {
    "dynamic_ownership": 0,  # we give disks their owner; images stay as they are
    "remember_owner": 0,
    "security_driver": "none",
    "namespaces": [],  # no private /dev: that needs privileges
    "cgroup_controllers": [],  # nor is there a systemd to ask for a cgroup everywhere
    "stdio_handler": "file",  # no virtlogd
}


def prepare(root: Path, account: Account | None) -> None:
    """Make the driver's directory and its qemu.conf, which says who QEMU runs as."""
    settings: dict[str, object] = dict(_SETTINGS)
    if account:
        let_use_kvm(account)
        settings |= {"user": account.name, "group": account.group}
    for directory in ("etc", "lib"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    if account:
        let_pass(account, root / "lib")  # there libvirt makes directories for QEMU
    (root / "etc" / "qemu.conf").write_text(
        "".join(f"{key} = {_literal(value)}\n" for key, value in settings.items())
    )


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
