"""Who people are, by others who know them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from openrdms.model.directory import DirectoryUser, Flow


class Directory(Protocol):
    """A directory that knows passwords. Every method raises DirectoryUnavailable in good time."""

    @property
    def source(self) -> str:
        """What accounts of it are marked with."""

    def authenticate(self, name: str, password: str) -> DirectoryUser | None:
        """Who it is; None for a wrong password, a name that it has not, a disabled entry."""

    def look_up(self, users: Iterable[tuple[str, str]]) -> list[DirectoryUser | None]:
        """What is true today of names with their external ids; None for who may not sign in."""


class IdentityProvider(Protocol):
    """An OpenID provider: people prove there who they are, and come back with a code."""

    @property
    def source(self) -> str:
        """What accounts of it are marked with."""

    @property
    def title(self) -> str:
        """What people call it."""

    def begin(self, redirect_uri: str) -> Flow:
        """Where to send a browser. DirectoryUnavailable."""

    def finish(self, flow: Flow, answer: Mapping[str, str]) -> DirectoryUser:
        """Who has come back with ``answer``, the parameters of the redirection.

        AccessDenied for one that does not fit to the flow, DirectoryUnavailable.
        """
