"""The key that all services of a deployment have in a file, and what they keep under it.

From it come, each for one purpose (HKDF, RFC 5869), the key of the audit log's chain, that of
second factors and the one that seals secrets in the records: NT hashes of accounts, and the keys
of a deployment that began with one service. Who has the database alone has none of them.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openrdms import ports
from openrdms.model.errors import AlreadyExists, InvalidParameter, OperationFailed

AUDIT_KEY, TOTP_KEY = "audit-key", "totp-key"
"""Names of the files of a service that is alone, and of the secrets that they become."""

_OPTION = "shared-key"
_OCTETS = 32
_PROOF = "proof"
_NONCE = 12


def make_key(file: Path) -> None:
    """Write a new key, which its owner alone may read. AlreadyExists, OSError."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise AlreadyExists(f"{file} is there; a key is never overwritten") from error
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(secrets.token_hex(_OCTETS) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


class SharedKey:
    """Safe from any thread."""

    def __init__(self, file: Path, store: ports.SecretStore) -> None:
        """InvalidParameter when no key is in the file, or not the one that the records know."""
        self._root = _read(file)
        self._store = store
        self._cipher = AESGCM(self._derive("secrets"))
        try:
            self._open(_PROOF, store.add_secret(_PROOF, self._seal(_PROOF, b"")))
        except OperationFailed as error:
            reason = f"{file} is another key than that of the services that have these records"
            raise InvalidParameter(_OPTION, reason) from error

    @property
    def audit_key(self) -> bytes:
        """Of the audit log's chain."""
        return self.find(AUDIT_KEY) or self._derive("audit")

    @property
    def totp_key(self) -> bytes:
        """Under which second factors are encrypted, as Fernet takes it."""
        return self.find(TOTP_KEY) or base64.urlsafe_b64encode(self._derive("totp"))

    def put(self, name: str, secret: bytes, account: str = "") -> None:
        """Keep a secret, of that account if anybody's."""
        self._store.put_secret(name, self._seal(name, secret), account)

    def find(self, name: str) -> bytes | None:
        """None when there is none of that name. OperationFailed."""
        return self.list(name).get(name)

    def list(self, prefix: str) -> dict[str, bytes]:
        """Secrets whose names begin so. OperationFailed when one was not sealed by us."""
        found = self._store.find_secrets(prefix)
        return {name: self._open(name, sealed) for name, sealed in found.items()}

    def delete(self, name: str, account: str = "") -> None:
        """There may be none."""
        self._store.delete_secret(name, account)

    def _derive(self, purpose: str) -> bytes:
        made = HKDF(hashes.SHA256(), _OCTETS, salt=None, info=f"openrdms {purpose}".encode())
        return made.derive(self._root)

    def _seal(self, name: str, secret: bytes) -> str:
        """Good under this name only."""
        nonce = secrets.token_bytes(_NONCE)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, secret, name.encode())).decode()

    def _open(self, name: str, sealed: str) -> bytes:
        try:
            octets = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(octets[:_NONCE], octets[_NONCE:], name.encode())
        except (InvalidTag, ValueError) as error:
            raise OperationFailed(f"the secret {name!r} was sealed under another key") from error


def _read(file: Path) -> bytes:
    try:
        key = bytes.fromhex(file.read_text(encoding="ascii"))
    except (OSError, ValueError) as error:
        raise InvalidParameter(_OPTION, f"cannot read {file}: {error}") from error
    if len(key) != _OCTETS:
        raise InvalidParameter(_OPTION, f"{file} has no key of {_OCTETS} octets in it")
    return key
