"""Who may call: one administrator, by name and password."""

from __future__ import annotations

import hmac
import secrets
from pathlib import Path

from openrdms.model.errors import InvalidParameter


class Administrator:
    """The one account. Keeps a keyed hash, under a key of this process, never the password."""

    def __init__(self, name: str, password: str) -> None:
        self.name = name
        self._key = secrets.token_bytes(32)
        self._digest = self._hash(name, password)

    @classmethod
    def from_file(cls, name: str, password_file: Path) -> Administrator:
        """The password is the file's first line. InvalidParameter when there is none to read."""
        try:
            text = password_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidParameter(
                "admin-password-file", f"cannot read {password_file}: {error}"
            ) from error
        password = text.partition("\n")[0].removesuffix("\r")
        if not password:
            raise InvalidParameter("admin-password-file", f"{password_file} has no password in it")
        return cls(name, password)

    def verify(self, name: str, password: str) -> bool:
        """True when both are right; takes the same time whichever is wrong."""
        return hmac.compare_digest(self._hash(name, password), self._digest)

    def _hash(self, name: str, password: str) -> bytes:
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        text = f"{len(name)}:{name}{password}"
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
