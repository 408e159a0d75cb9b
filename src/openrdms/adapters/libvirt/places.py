"""Where the files and sockets of our VMs are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from openrdms.adapters.libvirt.account import Account, let_pass
from openrdms.adapters.libvirt.domain_xml import Wiring
from openrdms.adapters.libvirt.uri import Network


@dataclass(frozen=True)
class Places:
    """Directories of one host. Files go by the state directory's own path, which never changes;
    sockets by the runtime directory's, which is short. ``root`` is the embedded driver's, or None:
    a daemon makes sockets itself. ``shared`` is the host's own part of a directory that others
    see too, None where the files are below the state directory.
    """

    state_dir: Path
    runtime_dir: Path
    root: Path | None
    shared: Path | None = None

    @property
    def desktops(self) -> Path:
        """Disks of desktops."""
        return (self.shared or self.state_dir) / "desktops"

    @property
    def markers(self) -> tuple[Path, ...]:
        """Directories that only QEMU processes of ours have in their arguments."""
        return tuple(filter(None, (self.desktops, self.root)))

    @property
    def accelerator_cache(self) -> Path:
        """What is known of KVM on this machine."""
        return self.state_dir / "libvirt/accelerator.json"

    def nvram_path(self, vm: str) -> Path:
        """Where the firmware's variables of that VM are or would be."""
        return self._nvram / f"{vm}.fd"

    @property
    def _nvram(self) -> Path:
        return self.shared / "nvram" if self.shared else self.state_dir / "libvirt/nvram"

    @property
    def _saved(self) -> Path | None:
        """Where the embedded driver saves the memory of VMs; a daemon's directory is its own."""
        return self.root / "lib/qemu/save" if self.root else None

    @property
    def _vnc(self) -> Path:
        return self.runtime_dir / "vnc"

    @property
    def _agent(self) -> Path:
        return self.runtime_dir / "agent"

    @cached_property
    def _beside(self) -> list[tuple[str, str]]:
        """Directories and endings of what VMs have beside their disks, as text: all are asked for
        each VM that is removed.
        """
        beside = [(self._nvram, ".fd"), (self._vnc, ""), (self._agent, "")]
        if self.root and self._saved:
            beside += [(self.root / "log/qemu", ".log"), (self._saved, ".save")]
        return [(str(directory), suffix) for directory, suffix in beside]

    def make(self, account: Account | None) -> None:
        """Make the directories so that QEMU, as that account, can write where it must.

        OperationFailed names a directory on the way there that it cannot pass through.
        """
        self.desktops.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.accelerator_cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.shared:  # QEMU of another machine, and by another account than ours, looks there
            self._nvram.mkdir(mode=0o711, exist_ok=True)
        for directory in (self._nvram, self._vnc, self._agent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if account:
                os.chown(directory, account.uid, account.gid)
        if account:
            for directory in (self.desktops, self._nvram.parent, self.runtime_dir.parent):
                let_pass(account, directory)

    def wire(self, vm: str, disk: Path, accelerator: str, network: Network) -> Wiring:
        """Files and sockets for the definition of that VM."""
        return Wiring(
            accelerator=accelerator,
            network=network,
            disk=disk,
            nvram=self.nvram_path(vm),
            vnc_socket=self._vnc / vm if self.root else None,
            agent_socket=self._agent / vm if self.root else None,
            movable=self.shared is not None,
        )

    def list_files(self) -> Iterator[tuple[str, str, str]]:
        """Kind, path and VM of every NVRAM file, saved state and socket of ours."""
        for file in sorted(self._nvram.iterdir()):
            yield "nvram", str(file), file.stem
        for file in sorted(self._saved.glob("*.save")) if self._saved else ():
            yield "saved", str(file), file.stem
        for directory in (self._vnc, self._agent):
            for file in sorted(directory.iterdir()):
                yield "socket", str(file), file.name

    def remove_files(self, vm: str) -> None:
        """Remove what a VM that is no longer defined may have left beside its disk."""
        files = [f"{directory}/{vm}{suffix}" for directory, suffix in self._beside]
        for file in files:
            with suppress(FileNotFoundError):
                os.unlink(file)
