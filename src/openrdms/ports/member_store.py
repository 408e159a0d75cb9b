"""Services that share one database: which live, and what only one of them may do at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from openrdms.model.member import Member


class MemberStore(Protocol):
    """As one of them, ``me``, sees it. Every call raises Fenced once the others have taken it for
    dead, and RecordsUnavailable while the database is away; time is the database's alone.
    """

    @property
    def me(self) -> str:
        """Its id; "" where a service is alone, and nothing here does anything."""

    def join(self, name: str, address: str, version: str, before: str = "") -> None:
        """Be one of them from now on. Call it once, before all others. ``before`` is the id of the
        life before this one, of which the process is known to have ended.
        """

    def beat(self) -> None:
        """Live on, and look at the others: to be called twice a second, whatever is under way."""

    def list_live(self) -> list[Member]:
        """Who is not fenced, the oldest first."""

    def fence_silent(self) -> list[str]:
        """Fence who was found dead or paused; ids that this call has fenced. From then on none of
        them writes anything. To be called after each ``beat``, in another thread.
        """

    @property
    def sees_untaken(self) -> bool:
        """Whether the last ``beat`` has found any that ``list_untaken`` lists."""

    def list_untaken(self) -> list[str]:
        """Fenced ones whose work nobody has taken over yet."""

    def list_fenced(self, among: Sequence[str]) -> list[str]:
        """Which of these are ids of fenced ones."""

    def finish_taking(self, member: str) -> None:
        """All that the fenced member had under way has been handed on."""

    def check(self, job: str = "") -> None:
        """Return while ``me`` may act; with a ``job``, while it is the one that runs it."""

    def exclusive(self, what: str) -> AbstractContextManager[bool]:
        """A block that one service at a time is in; False at once when another one is."""

    def hold_duty(self, duty: str) -> bool:
        """Whether ``duty`` is this one's; it becomes so when nobody alive has it."""

    def close(self) -> None:
        """Let go of everything: the others take it for dead."""
