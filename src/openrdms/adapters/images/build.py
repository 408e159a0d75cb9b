"""An image from Debian packages: mmdebstrap, mke2fs -d, qemu-img; no loop mount, no boot loader.

The guest boots from its kernel and initrd directly (``Firmware.KERNEL``).
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from openrdms.adapters import disk_space, processes
from openrdms.adapters.images import apt_sources, namespace
from openrdms.adapters.images.namespace import Namespace
from openrdms.adapters.images.progress import InstallProgress, Report
from openrdms.adapters.images.recipe import Recipe
from openrdms.model.errors import OperationFailed

DISK, KERNEL, INITRD = "disk.qcow2", "vmlinuz", "initrd"

_MIB = 1 << 20
_PROXY = re.compile(r'^(Acquire::(?:http|https|ftp)::Proxy\S*) "(.*)";$', re.IGNORECASE)


def build(recipe: Recipe, target: Path, report: Report) -> None:
    """Make disk, kernel and initrd of ``recipe`` in the directory ``target``.

    The work is done under /var/tmp (TMPDIR), which the namespace of an ordinary user can reach;
    the caller sees to it that nobody else builds the same recipe, so what is found there is the
    rest of an interrupted build. Raises OperationFailed and OutOfSpace.
    """
    rights = namespace.open_namespace()
    sources = apt_sources.find_sources(recipe.suite)
    work = _work_directory(recipe)
    rights.remove(work)
    disk_space.require(target, recipe.content_mib * _MIB)
    disk_space.require(work.parent, 2 * recipe.content_mib * _MIB)
    work.mkdir(mode=0o700)
    try:
        rights.admit(work)
        _install(recipe, rights, [source.render() for source in sources], work, report)
        _collect(recipe, rights, work, target, report)
    finally:
        rights.remove(work)


def _work_directory(recipe: Recipe) -> Path:
    name = f"openrdms-{os.getuid()}-{recipe.variant}-{recipe.digest}"
    work = Path(os.environ.get("TMPDIR", "/var/tmp")) / name  # noqa: S108 - owner checked below
    if work.exists() and work.lstat().st_uid != os.getuid():
        raise OperationFailed(f"{work} belongs to somebody else: remove it")
    return work


def _install(
    recipe: Recipe, rights: Namespace, sources: list[str], work: Path, report: Report
) -> None:
    overlay = work / "overlay.tar"
    overlay.write_bytes(recipe.overlay)
    argv = [
        "mmdebstrap",
        "--verbose",
        "--variant=minbase",
        f"--mode={rights.mode}",
        "--format=directory",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--aptopt={option}" for option in _proxies()),
        "--dpkgopt=force-unsafe-io",  # the tree is thrown away if the machine stops half-way
        "--dpkgopt=force-confold",  # files of ours laid down before a package brings its own
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.path_exclude),
        *(f"--dpkgopt=path-include={pattern}" for pattern in recipe.path_include),
        f"--include={','.join(recipe.packages)}",
        f"--essential-hook=tar-in {overlay} /",
        *(f"--customize-hook={script}" for script in recipe.scripts),
        recipe.suite,
        str(work / "root"),
        *sources,
    ]
    env = {**namespace.tools_env(), "TMPDIR": str(work)}  # what mmdebstrap leaves goes with it
    processes.run(argv, env=env, on_line=InstallProgress(report))


def _collect(recipe: Recipe, rights: Namespace, work: Path, target: Path, report: Report) -> None:
    """The tree as a qcow2 disk, and beside it the kernel and initrd of its /boot."""
    root, raw = work / "root", work / "disk.raw"
    for pattern, name in (("vmlinuz-*", KERNEL), ("initrd.img-*", INITRD)):
        [found] = root.glob(f"boot/{pattern}")
        shutil.copyfile(found, target / name)
    report(0.90, "writing the file system")
    make = ["mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
    make += ["-L", "root", "-m", "0", "-d", str(root), str(raw), f"{recipe.disk_mib}M"]
    processes.run(rights.wrap(make), env=namespace.tools_env())
    rights.remove(root)
    report(0.95, "writing the disk image")
    convert = ["qemu-img", "convert", "-W", "-f", "raw", "-O", "qcow2", str(raw)]
    processes.run([*convert, str(target / DISK)])


def _proxies() -> list[str]:
    """apt's own proxy settings: mmdebstrap does not read this machine's apt.conf."""
    lines: list[str] = []
    processes.run(["apt-config", "dump"], on_line=lines.append)
    found = (_PROXY.match(line) for line in lines)
    return [f'{match[1]} "{match[2]}"' for match in found if match and match[2]]
