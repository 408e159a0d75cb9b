"""Records of who may have which desktop, of hosts' settings, and of how long steps take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import HostSettings
from openrdms.model.job import StepTime


class DesktopUseStore(Protocol):
    """Uses come and go with the records of their desktops: UNREADY at first.

    Writes are committed together with those of other threads.
    """

    def list_uses(
        self,
        collection: str | None = None,
        *,
        use: Use | None = None,
        names: Iterable[str] | None = None,
    ) -> list[DesktopUse]:
        """In order of name; only those that meet every condition given."""

    def list_left_uses(self) -> list[DesktopUse]:
        """Those that no service which lives has PREPARING, and that no running job has in WORK."""

    def count_uses(self, collection: str) -> Mapping[Use, int]:
        """Only those that occur."""

    def count_uses_by_host(self, collection: str) -> Mapping[str, Mapping[Use, int]]:
        """The same of each host, as records name it."""

    def find_use(self, name: str) -> DesktopUse | None: ...
    def find_held(self, collection: str, holder: str) -> DesktopUse | None:
        """What that user has taken in a collection."""

    def take_ready(
        self, collection: str, holder: str, now: datetime, away: Collection[str] = ()
    ) -> DesktopUse | None:
        """Give one READY desktop that no job claims to ``holder``; None when there is none.

        Running ones before saved ones, the freshest last; several callers get different ones.
        What the holder has taken already is given again. Hosts named in ``away`` are left out.
        """

    def assign_free(
        self, collection: str, user: str, domain: str, away: Collection[str] = ()
    ) -> Desktop | None:
        """Assign a desktop that nobody has, is logged on to or works at; None without any.

        READY ones first; several users get different ones. The desktop that the user has
        already is given again, whatever its host.
        """

    def find_free(
        self, collection: str, user: str, domain: str, away: Collection[str] = ()
    ) -> Desktop | None:
        """What ``assign_free`` would give him now; nothing is assigned."""

    def change_uses(
        self, names: Iterable[str], change: Callable[[DesktopUse], DesktopUse | None]
    ) -> list[DesktopUse]:
        """Replace each by what ``change`` makes of it, all in one transaction; None leaves it.

        Returns what was changed, as it is now. ``change`` must be quick and may not use the
        store. Names without a record are passed over.
        """


class HostSettingStore(Protocol):
    """What an administrator has set for a host."""

    def find_host_settings(self, host: str) -> HostSettings:
        """All unset when nobody has set anything."""

    def change_host_settings(
        self, host: str, change: Callable[[HostSettings], HostSettings]
    ) -> HostSettings:
        """Replace them by what ``change`` makes of them, in one transaction; returns that."""


class StepTimeStore(Protocol):
    """How long the steps of jobs took lately."""

    def list_step_times(self) -> list[StepTime]: ...
    def put_step_times(self, times: Iterable[StepTime]) -> None:
        """Insert or replace."""
