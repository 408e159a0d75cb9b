"""What services of one deployment share and nobody else may know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class SecretStore(Protocol):
    """Secrets by their names, sealed: the records hold no key to them.

    ``account`` is whose secret it is, if anybody's: what is told of has changed with that account.
    """

    def add_secret(self, name: str, sealed: str) -> str:
        """What is kept under that name: ``sealed`` when there was nothing."""

    def put_secret(self, name: str, sealed: str, account: str = "") -> None:
        """Keep it, instead of what was there."""

    def find_secrets(self, prefix: str) -> Mapping[str, str]:
        """Those whose names begin so."""

    def delete_secret(self, name: str, account: str = "") -> None:
        """There may be none."""
