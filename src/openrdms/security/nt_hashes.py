"""NT hashes of the accounts that may use NTLM, in the file that pyspnego reads.

A line is that of Samba's smbpasswd(5), whose LM hash is all zeros. An NT hash is as good as the
password to whoever reads it, so the file is the service's alone and holds nothing else. Where
several services share their records the hashes are there too, sealed, and files are copies.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from spnego._ntlm_raw.md4 import md4  # OpenSSL 3 has none, and who checks the hash has this one

from openrdms import config
from openrdms.security.shared_key import SharedKey

NT_HASH = "nt-hash/"
"""Before an account's name, the name of the secret."""

_NO_LM_HASH = "0" * 32


class NtHashes:
    """Hashes by account, in memory and in ``file``, which is there while there are any."""

    def __init__(self, file: Path, shared: SharedKey | None = None) -> None:
        self.file = file
        self._shared = shared
        self._lock = threading.Lock()
        self._hashes = _read(file)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def __contains__(self, name: str) -> bool:
        return name in self._hashes

    def put(self, name: str, password: str) -> None:
        """Keep the hash of an account's password."""
        digest = md4(password.encode("utf-16-le", "surrogatepass")).hex().upper()  # MS-NLMP 3.3.1
        with self._lock:
            if self._shared:
                self._shared.put(NT_HASH + name, digest.encode(), account=name)
            self._write({**self._hashes, name: digest})

    def drop(self, name: str) -> None:
        """Remove an account's hash, from the file too, before this returns."""
        with self._lock:
            if self._shared:
                self._shared.delete(NT_HASH + name, account=name)
            self._forget(name)

    def keep(self, names: Iterable[str]) -> None:
        """Remove the hashes of all other accounts."""
        wanted = frozenset(names)
        with self._lock:
            known = _list(self._shared) if self._shared else self._hashes
            kept = {name: item for name, item in known.items() if name in wanted}
            if kept != self._hashes:
                self._write(kept)

    def reread(self, name: str) -> None:
        """Another service may have changed an account's hash."""
        if self._shared is None:
            return
        with self._lock:
            found = self._shared.find(NT_HASH + name)
            if found is None:
                self._forget(name)
            elif self._hashes.get(name) != found.decode():
                self._write({**self._hashes, name: found.decode()})

    def _forget(self, name: str) -> None:
        if name in self._hashes:
            self._write({other: item for other, item in self._hashes.items() if other != name})

    def _write(self, hashes: dict[str, str]) -> None:
        lines = [f"{name}:0:{_NO_LM_HASH}:{item}:[U]:LCT-0\n" for name, item in hashes.items()]
        if lines:
            self.file.parent.mkdir(mode=0o700, exist_ok=True)
            config.write_atomically(self.file, "".join(lines), 0o600)
        else:
            self.file.unlink(missing_ok=True)
        self._hashes = hashes
        _sync(self.file.parent)


def carry_nt_hashes(file: Path, shared: SharedKey) -> None:
    """Those of a service that was alone are now of all that share the records."""
    for name, digest in _read(file).items():
        shared.put(NT_HASH + name, digest.encode(), account=name)


def _sync(directory: Path) -> None:
    """Have what was renamed or removed there on disk: no hash comes back after a power failure."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _list(shared: SharedKey) -> dict[str, str]:
    found = shared.list(NT_HASH)
    return {name.removeprefix(NT_HASH): digest.decode() for name, digest in found.items()}


def _read(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    fields = [line.split(":") for line in lines]
    return {line[0]: line[3] for line in fields if len(line) == 6}
