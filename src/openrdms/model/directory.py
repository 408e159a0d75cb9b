"""What directories and identity providers say of people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from openrdms.model.account import Role


@dataclass(frozen=True)
class DirectoryGroup:
    """``key`` is how options name it: its DN, or what stands in the claim.

    ``external_id`` is what it is known by whatever it is called; ``sid`` is "" where there is none.
    """

    key: str
    name: str
    external_id: str
    sid: str = ""


@dataclass(frozen=True)
class DirectoryUser:
    """Somebody who may sign in there. ``external_id`` is never given to anybody else."""

    name: str
    external_id: str
    sid: str = ""
    groups: tuple[DirectoryGroup, ...] = ()


@dataclass(frozen=True)
class Flow:
    """A sign-in that goes on at an identity provider, and what its answer must fit to."""

    url: str
    state: str
    nonce: str
    verifier: str
    redirect_uri: str


def find_role(groups: Iterable[DirectoryGroup], roles: Mapping[Role, frozenset[str]]) -> Role:
    """The first of ``Role`` that one of the groups is mapped to; ``roles`` has case-folded keys."""
    keys = {group.key.casefold() for group in groups}
    return next((role for role in Role if keys & roles.get(role, frozenset())), Role.USER)
