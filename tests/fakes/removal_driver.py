"""Kills a service at each step of the removal of an image version and tells what came of it.

    python removal_driver.py DIRECTORY

Steps are calls that change records or hosts (fakes.crash_driver), and each file that is deleted.
Of two versions with copies on two hosts the first is removed. After each kill a service starts,
which cleans up, and is asked for the removal again if the version is still there. One line of
JSON per kill; its ``wrong`` is empty when all is well.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes.crash_driver import PARAMETERS, Boundaries, Watched, fork
from fakes.pool_rig import PoolRig
from openrdms.services.image_removal import ImageRemoval

REMOVED, KEPT = "gold@1", "gold@2"
FILES = ("disk.qcow2", "vmlinuz", "initrd")


class Life:
    """One life of the service in ``directory``."""

    def __init__(self, directory: Path, boundaries: Boundaries) -> None:
        self.directory = directory
        self.boundaries = boundaries

        def watch(port: Any) -> Any:
            return Watched(port, boundaries, lambda made: None)

        self.rig = PoolRig(directory, f"{PARAMETERS}&copy_ms=0", wrap_host=watch, wrap_store=watch)
        self.removal = ImageRemoval(self.rig.store, self.rig.hosts, self.rig.images)

    def live(self) -> None:
        """Remove the version, unless that was done before, and write down what there is."""
        begun = self.directory / "begun"
        if not begun.exists():
            self._add_version()
            self._add_version()
            begun.touch()
        for host in self.rig.hosts.all():
            self.rig.reconciling.reconcile(host)
        started = self._look()
        if REMOVED in started["recorded"]:
            _tell_of_deletions(self.boundaries)
            self.boundaries.counting = True
            self.removal.remove(REMOVED)
            self.boundaries.counting = False
        found = {"started": started, "ended": self._look(), "boundaries": self.boundaries.names}
        (self.directory / "result.json").write_text(json.dumps(found))

    def _add_version(self) -> None:
        store = self.rig.store
        home = self._images / "gold" / str(store.next_image_version("gold"))
        home.mkdir(parents=True)
        disk, kernel, initrd = (home / name for name in FILES)
        for file in (disk, kernel, initrd):
            file.write_bytes(b"gold")
        tiny = self.rig.images.resolve("image:tiny")
        image = store.add_image(replace(tiny, name="gold", disk=disk, kernel=kernel, initrd=initrd))
        for host in self.rig.hosts.all():
            host.copy_image(image, lambda: True, lambda _: None)

    def _look(self) -> dict[str, Any]:
        """By the records, the files here and the hosts."""
        rig = self.rig
        known = [*rig.store.list_images(), *rig.store.list_removed_images()]
        return {
            "recorded": [image.reference for image in rig.images.list() if image.name == "gold"],
            "files": sorted(str(one.relative_to(self._images)) for one in self._images.rglob("*")),
            "copies": {
                host.name: [one.reference for one in known if _has_copy(host, one)]
                for host in rig.hosts.all()
            },
            "next": rig.store.next_image_version("gold"),
            "orphans": [str(orphan) for orphan in rig.orphans()],
        }

    @property
    def _images(self) -> Path:
        return self.directory / "state" / "images"


def _has_copy(host: Any, image: Any) -> bool:
    return image.name == "gold" and bool(host.has_image(image))


def _tell_of_deletions(tell: Callable[[str], None]) -> None:
    """Each is a step of its own: a service may die with half of the files deleted."""
    for name in ("unlink", "rmdir"):
        delete = getattr(os, name)

        def told(path: Any, *args: Any, delete: Any = delete, name: str = name, **kw: Any) -> None:
            tell(f"before {name} {path}")
            delete(path, *args, **kw)
            tell(f"after {name} {path}")

        setattr(os, name, told)


def crash(directory: Path, kill_at: int) -> dict[str, Any]:
    """Kill at one boundary and start again; what there is then. ``kill_at`` 0 kills nowhere."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    code = fork(lambda: Life(directory, Boundaries(kill_at, 0)).live())
    if kill_at:
        assert code == -signal.SIGKILL, code
        code = fork(lambda: Life(directory, Boundaries(0, 0)).live())
    assert code == 0, code
    found: dict[str, Any] = json.loads((directory / "result.json").read_text())
    return found | {"kill_at": kill_at}


def judge(found: dict[str, Any], *, on_record: bool) -> list[str]:
    """What is wrong after a kill; ``on_record`` is whether it came after the removal was."""
    before, after = _expected(REMOVED, KEPT), _expected(KEPT)
    expected = {"started": after if on_record else before, "ended": after}
    return [
        f"{what} {when}: {found[when][what]}, not {right[what]}"
        for when, right in expected.items()
        for what in right
        if found[when][what] != right[what]
    ]


def _expected(*versions: str) -> dict[str, Any]:
    homes = [version.replace("@", "/") for version in versions]
    return {
        "recorded": list(versions),
        "files": sorted(["gold", *homes, *(f"{home}/{name}" for home in homes for name in FILES)]),
        "copies": {f"host{n}.sim.local": list(versions) for n in (1, 2)},
        "next": 3,
        "orphans": [],
    }


def main() -> None:
    directory = Path(sys.argv[1])
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    boundaries = crash(directory / "0", 0)["boundaries"]
    recorded = boundaries.index("after remove_image") + 1
    for kill_at, boundary in enumerate(boundaries, 1):
        found = crash(directory / str(kill_at), kill_at)
        wrong = judge(found, on_record=kill_at >= recorded)
        print(json.dumps({"kill_at": kill_at, "boundary": boundary, "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main()
