"""What `rdms serve` was told, as frozen values, and what a state directory remembers of it."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

EMBEDDED_LIBVIRT = "qemu:///embed"
"""Hypervisor used when none is named: libvirt's driver inside this process, no daemon."""

WSMAN_HTTP_PORT = 5985
WSMAN_HTTPS_PORT = 5986
"""WinRM's ports (MS-WSMV 2.1)."""
CIMXML_HTTP_PORT = 5988
CIMXML_HTTPS_PORT = 5989
"""Those of CIM-XML (IANA wbem-http and wbem-https)."""

WEB_PORT = 8443
"""Of pages and the REST API, over HTTPS alone."""

RDP_PORT = 3389
"""Of the relay that RDP files lead to."""

BOOT_TIMEOUT = 600.0
"""Seconds until a guest that boots is given up; emulated guests on a busy host need minutes."""

_REMEMBERED = "service.json"
_FILES = ("database_password_file", "shared_key")
"""Fields of what is remembered, in their order."""


class ChannelBinding(StrEnum):
    """What binding to the TLS connection means, as WinRM's CbtHardeningLevel has it."""

    NONE = "none"
    RELAXED = "relaxed"
    """A wrong binding is refused, a missing one is not."""
    STRICT = "strict"


@dataclass(frozen=True)
class ServeConfig:
    """One run of the service. A port of 0 means any free one."""

    state_dir: Path
    hypervisors: tuple[str, ...]
    listen: str
    wsman_http_port: int
    wsman_https_port: int
    admin_user: str
    admin_password_file: Path
    allow_unencrypted: bool = False
    ready_file: Path | None = None
    cimxml_http_port: int = CIMXML_HTTP_PORT
    cimxml_https_port: int = CIMXML_HTTPS_PORT
    keytab: Path | None = None
    channel_binding: ChannelBinding = ChannelBinding.RELAXED
    boot_timeout: float = BOOT_TIMEOUT
    web_port: int = WEB_PORT
    tls_cert: Path | None = None
    tls_key: Path | None = None
    """Of the web front end; None for the certificate of the protocols."""
    rdp_port: int = RDP_PORT
    rdp_cert: Path | None = None
    rdp_key: Path | None = None
    """RDP files are signed with them; None: they are not signed."""
    sign_in: Path | None = None
    """What ``model.sign_in_options`` describes, in TOML; None: with accounts of ours alone."""
    database: str | None = None
    """URL of records and jobs in PostgreSQL, without a password; None: files of ``state_dir``."""
    database_password_file: Path | None = None
    shared_key: Path | None = None
    """The file with the key that all services on ``database`` have."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of balancers, whose PROXY headers say whose a connection is."""


def write_atomically(file: Path, text: str, mode: int) -> None:
    """Write ``file`` so that a reader, also after a crash, sees the old text or the new one."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, file)
    except OSError:
        os.unlink(temporary)
        raise


@dataclass(frozen=True)
class Remembered:
    """What a service on a state directory used, for commands that run without it."""

    hypervisors: tuple[str, ...] = (EMBEDDED_LIBVIRT,)
    database: str | None = None
    database_password_file: Path | None = None
    shared_key: Path | None = None


def remember(state_dir: Path, used: Remembered) -> None:
    """Record it there."""
    record: dict[str, object] = {"hypervisors": used.hypervisors}
    if used.database is not None:
        record["database"] = used.database
    for name in _FILES:
        if file := getattr(used, name):
            record[name] = str(file)
    write_atomically(state_dir / _REMEMBERED, json.dumps(record, indent=1) + "\n", 0o600)


def recall(state_dir: Path) -> Remembered:
    """What was used there last; the embedded libvirt when there was no service yet.

    ValueError when the record is not one that we write.
    """
    record = state_dir / _REMEMBERED
    try:
        remembered: Any = json.loads(record.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Remembered()
    except ValueError as error:
        raise ValueError(f"{record}: {error}") from error
    match remembered:
        case {"hypervisors": [*uris]} if uris and all(isinstance(uri, str) for uri in uris):
            database = _find_text(record, remembered, "database")
            files = (_find_text(record, remembered, name) for name in _FILES)
            return Remembered(tuple(uris), database, *(Path(one) if one else None for one in files))
    raise ValueError(f"{record}: not a record of hypervisors")


def _find_text(record: Path, remembered: dict[str, Any], name: str) -> str | None:
    value = remembered.get(name)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{record}: {name} is no text")
