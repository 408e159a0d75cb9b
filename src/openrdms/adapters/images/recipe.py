"""Recipes: what an image variant is made of, as data beside this module.

``recipes/VARIANT.toml`` over ``recipes/base.toml`` give packages and sizes; the trees
``recipes/base``, ``recipes/VARIANT`` and, where somebody is to be logged on at once,
``recipes/VARIANT-autologin`` are laid over the new root file system before packages are
configured; ``base.sh`` and ``VARIANT.sh`` finish it.
"""

from __future__ import annotations

import hashlib
import tarfile
import tomllib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from openrdms.model.errors import InvalidParameter

VARIANTS = ("tiny", "desktop")

_RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what an image holds.

    ``content_mib`` is about what its files take; ``overlay`` is an uncompressed tar archive.
    """

    variant: str
    suite: str
    packages: tuple[str, ...]
    path_exclude: tuple[str, ...]
    path_include: tuple[str, ...]
    cmdline: str
    disk_mib: int
    content_mib: int
    memory_mib: int
    vcpus: int
    scripts: tuple[str, ...]
    overlay: bytes

    @property
    def digest(self) -> str:
        """Hex digest over the whole recipe: equal digests mean equal images."""
        facts = [value for name, value in vars(self).items() if name != "overlay"]
        return hashlib.sha256(repr(facts).encode() + self.overlay).hexdigest()[:16]


def load_recipe(variant: str, *, autologin: bool = True) -> Recipe:
    """The recipe of ``tiny`` or ``desktop``; InvalidParameter for anything else.

    With ``autologin`` alice is logged on as soon as it has booted.
    """
    if variant not in VARIANTS:
        raise InvalidParameter("variant", f"{variant!r} is not one of {', '.join(VARIANTS)}")
    base, own = _read_toml("base"), _read_toml(variant)
    joined = {
        name: tuple(base[name] + own[name]) for name in ("packages", "path_exclude", "path_include")
    }
    scripts = (_RECIPES / f"{layer}.sh" for layer in ("base", variant))
    return Recipe(
        variant=variant,
        scripts=tuple(script.read_text() for script in scripts if script.exists()),
        overlay=_archive(("base", variant, *([f"{variant}-autologin"] if autologin else []))),
        **{**base, **own, **joined},
    )


def _read_toml(layer: str) -> dict[str, Any]:
    return tomllib.loads((_RECIPES / f"{layer}.toml").read_text())


def _archive(layers: tuple[str, ...]) -> bytes:
    """The layers' files, owned by root and dated 1970, whoever holds the checkout."""
    target = BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for layer in layers:
            for path in sorted((_RECIPES / layer).rglob("*")):
                name = path.relative_to(_RECIPES / layer).as_posix()
                archive.add(path, name, recursive=False, filter=_owned_by_root)
    return target.getvalue()


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry
