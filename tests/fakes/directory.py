"""A directory in memory."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.model.directory import DirectoryUser
from openrdms.model.errors import DirectoryUnavailable


class FakeDirectory:
    """ports.Directory. ``users`` may sign in; all have the same password."""

    source = "corp"

    def __init__(self, *users: DirectoryUser) -> None:
        self.users = {user.name.casefold(): user for user in users}
        self.is_away = False
        self.asked: list[str] = []

    def authenticate(self, name: str, password: str) -> DirectoryUser | None:
        self.asked.append(name)
        self._answer()
        return self.users.get(name.casefold()) if password == "theirs" else None

    def look_up(self, users: Iterable[tuple[str, str]]) -> list[DirectoryUser | None]:
        self._answer()
        found = [(self.users.get(name.casefold()), wanted) for name, wanted in users]
        return [user if user and user.external_id == wanted else None for user, wanted in found]

    def _answer(self) -> None:
        if self.is_away:
            raise DirectoryUnavailable("corp: does not answer")
