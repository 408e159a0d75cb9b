"""What records said last of what accounts have been handed out, for while they are away.

What is on record of an account has changed: what was seen of it before is not known any more.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from openrdms.model.change import Kind

_MOST = 10_000
"""That are remembered; of more, those that were seen last."""


class _OfAccount(Protocol):
    @property
    def account(self) -> str: ...


_Record = TypeVar("_Record", bound=_OfAccount)


class Seen(Generic[_Record]):
    """Records by the hash of their secret. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, _Record]] = {}
        """With how many changes there were before it was seen."""
        self._changed: dict[str, int] = {}
        """The last change of each account."""
        self.changes = 0
        """How many have been heard; to be looked at before records are asked."""

    def keep(self, key: str, record: _Record | None, changes: int) -> None:
        """That is what records say, who were asked after so many changes."""
        with self._lock:
            self._known.pop(key, None)
            if record:
                self._known[key] = (changes, record)
                if len(self._known) > _MOST:
                    del self._known[next(iter(self._known))]

    def find(self, key: str) -> _Record | None:
        """It, if it is known and its account is what it was."""
        with self._lock:
            at, known = self._known.get(key, (0, None))
            if known is None or self._changed.get(known.account.casefold(), 0) > at:
                return None
            return known

    def drop(self, key: str) -> None:
        """It is no more."""
        with self._lock:
            self._known.pop(key, None)

    def note_change(self, account: str) -> None:
        """Something of the account, or of what it was handed out, is another than it was."""
        with self._lock:
            self.changes += 1
            self._changed[account.casefold()] = self.changes

    def hear(self, kind: Kind, keys: Sequence[str]) -> None:
        """The same, of changes of any kind (ports.RecordListener)."""
        for account in keys if kind is Kind.ACCOUNT else ():
            self.note_change(account)
