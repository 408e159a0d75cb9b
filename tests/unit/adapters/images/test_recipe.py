"""Recipes: what they hold, and what makes two of them equal."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from io import BytesIO

import pytest

from openrdms.adapters.images.progress import InstallProgress
from openrdms.adapters.images.recipe import VARIANTS, load_recipe
from openrdms.model.errors import InvalidParameter


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_has_an_agent_and_logind(variant: str) -> None:
    recipe = load_recipe(variant)
    assert {"qemu-guest-agent", "libpam-systemd"} <= set(recipe.packages)
    assert recipe.content_mib < recipe.disk_mib


def test_equal_recipes_have_equal_digests_and_any_change_shows() -> None:
    tiny = load_recipe("tiny")
    assert tiny.digest == load_recipe("tiny").digest
    others = [
        load_recipe("desktop"),
        replace(tiny, vcpus=1),
        replace(tiny, overlay=tiny.overlay + b"\0"),
        replace(tiny, scripts=()),
    ]
    assert len({tiny.digest, *(other.digest for other in others)}) == 5


def test_overlay_belongs_to_root_whoever_has_the_checkout() -> None:
    with tarfile.open(fileobj=BytesIO(load_recipe("desktop").overlay)) as archive:
        members = archive.getmembers()
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 0)}
    assert "etc/xdg/dunst/dunstrc" in {member.name for member in members}


@pytest.mark.parametrize("variant", VARIANTS)
def test_nobody_is_logged_on_where_that_is_not_wanted(variant: str) -> None:
    def names(*, autologin: bool) -> set[str]:
        overlay = BytesIO(load_recipe(variant, autologin=autologin).overlay)
        with tarfile.open(fileobj=overlay) as archive:
            return {member.name for member in archive.getmembers() if member.isfile()}

    [only] = names(autologin=True) - names(autologin=False)
    assert "autologin" in only


def test_unknown_variant() -> None:
    with pytest.raises(InvalidParameter, match="tiny, desktop"):
        load_recipe("huge")


def test_progress_follows_what_mmdebstrap_and_dpkg_print() -> None:
    seen: list[tuple[float, str]] = []
    follow = InstallProgress(lambda fraction, words: seen.append((fraction, words)))
    for line in (
        "I: running apt-get update...",
        "0 upgraded, 69 newly installed, 0 to remove and 0 not upgraded.",
        "Unpacking gcc-12-base:amd64 (12.2.0-14+deb12u1) ...",
        "I: installing remaining packages inside the chroot...",
        "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
        "Unpacking udev (252) ...",
        "Unpacking kmod (30) ...",
        "Setting up kmod (30) ...",
        "Setting up udev (252) ...",
        "I: cleaning package lists and apt cache...",
    ):
        follow(line)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert seen[2:4] == [
        (pytest.approx(0.505), "unpacking udev"),
        (pytest.approx(0.63), "unpacking kmod"),
    ]
    assert seen[-1] == (0.88, "cleaning up")
