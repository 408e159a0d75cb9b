"""Records that a test has go away and come back."""

from __future__ import annotations

from typing import Any, NoReturn

from openrdms import ports
from openrdms.model import errors


class LeavingRecords:
    """A store; while ``away`` whatever is asked of it raises RecordsUnavailable."""

    def __init__(self, store: ports.Store) -> None:
        self.away = False
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return _refuse if self.away else getattr(self._store, name)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise errors.RecordsUnavailable("records: away")
