"""A service that has its records for itself: it is never fenced, and alone in everything."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from openrdms.model.member import Member


class Alone:
    """ports.MemberStore without any other."""

    me = ""
    sees_untaken = False

    def join(self, name: str, address: str, version: str, before: str = "") -> None:
        """Nobody is there to be joined."""

    def beat(self) -> None:
        """Nobody listens."""

    def list_live(self) -> list[Member]:
        """Nobody is on record."""
        return []

    def fence_silent(self) -> list[str]:
        """Nobody else can be silent."""
        return []

    def list_untaken(self) -> list[str]:
        """What an earlier life has begun the next one goes on with by itself."""
        return []

    def list_fenced(self, among: Sequence[str]) -> list[str]:
        """Nobody is."""
        return []

    def finish_taking(self, member: str) -> None:
        """There was nothing to take over."""

    def check(self, job: str = "") -> None:
        """It always may."""

    def exclusive(self, what: str) -> AbstractContextManager[bool]:
        """Threads of one process have locks of their own."""
        return nullcontext(enter_result=True)

    def hold_duty(self, duty: str) -> bool:
        """All duties are its."""
        return True

    def close(self) -> None:
        """It holds nothing."""


ALONE = Alone()
