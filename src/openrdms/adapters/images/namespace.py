"""Root's rights for building a root file system: our own, or a user namespace's.

An ordinary user builds in a user namespace that mmdebstrap makes from the account's subuid range
(mmdebstrap --mode=unshare); files made there belong to subuids, so whatever reads or removes them
runs in the same namespace.
"""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path

from openrdms.adapters import processes
from openrdms.model.errors import OperationFailed

_RANGE = 65536
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PACKAGES = {"mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs", "qemu-img": "qemu-utils"}
_USER_PACKAGES = {"newuidmap": "uidmap", "setfacl": "acl"}


@dataclass(frozen=True)
class Namespace:
    """How commands get root's rights; ``subuid`` is the outer uid of its root, None as root."""

    subuid: int | None

    @property
    def mode(self) -> str:
        """mmdebstrap's name for it."""
        return "root" if self.subuid is None else "unshare"

    def wrap(self, argv: list[str]) -> list[str]:
        """The command that runs ``argv`` inside."""
        return argv if self.subuid is None else ["mmdebstrap", "--unshare-helper", *argv]

    def admit(self, directory: Path) -> None:
        """Let the namespace's root, and nobody else besides us, work in ``directory``."""
        if self.subuid is not None:
            processes.run(["setfacl", "-m", f"u:{self.subuid}:rwx", str(directory)])

    def remove(self, directory: Path) -> None:
        """Remove a tree that may hold files made inside; absent is fine."""
        if not directory.exists():
            return
        if self.subuid is not None:
            inner = [str(path) for path in directory.iterdir()]
            processes.run(
                self.wrap(["rm", "-rf", "--one-file-system", "--", *inner]), env=tools_env()
            )
        shutil.rmtree(directory)


def open_namespace() -> Namespace:
    """Raises OperationFailed naming every package and id range this account lacks."""
    root = os.geteuid() == 0
    needed = _PACKAGES if root else _PACKAGES | _USER_PACKAGES
    missing = sorted({p for tool, p in needed.items() if not shutil.which(tool, path=_PATH)})
    lacks = [f"packages: apt install {' '.join(missing)}"] if missing else []
    start = None if root else find_subid(Path("/etc/subuid"))
    if not root and (start is None or find_subid(Path("/etc/subgid")) is None):
        lacks.append(_range_advice())
    if lacks:
        raise OperationFailed("building images needs " + "; and ".join(lacks))
    return Namespace(start)


def find_subid(table: Path) -> int | None:
    """First id of this account's range of at least 65536 ids in subuid(5) or subgid(5)."""
    owners = (pwd.getpwuid(os.getuid()).pw_name, str(os.getuid()))
    lines = table.read_text().splitlines() if table.exists() else []
    for owner, start, count in (line.split(":") for line in lines if line.count(":") == 2):
        if owner in owners and int(count) >= _RANGE:
            return int(start)
    return None


def tools_env() -> dict[str, str]:
    """Our environment, with the system administration directories on PATH (mke2fs is there)."""
    return {**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8"}


def _range_advice() -> str:
    name = pwd.getpwuid(os.getuid()).pw_name
    return (
        f"a range of {_RANGE} ids for {name} in /etc/subuid and /etc/subgid: as root, "
        f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name} "
        "(or another range that is free there)"
    )
