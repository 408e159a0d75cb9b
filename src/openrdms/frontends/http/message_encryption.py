"""WinRM message encryption: SOAP inside multipart/encrypted (MS-WSMV 2.2.9.1)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Protocol

SPNEGO = "application/HTTP-SPNEGO-session-encrypted"
KERBEROS = "application/HTTP-Kerberos-session-encrypted"

_BOUNDARY = b"--Encrypted Boundary"
_PROTOCOL = re.compile(
    rf'\bprotocol="?({re.escape(SPNEGO)}|{re.escape(KERBEROS)})"?', re.IGNORECASE
)
_HEAD = re.compile(
    rb"-- ?Encrypted Boundary\r\n\s*Content-Type: *[!-~]+\r\n"
    rb"\s*OriginalContent: *type=([!-~]+?); *Length=(\d{1,9})\r\n"
    rb"-- ?Encrypted Boundary\r\n\s*Content-Type: *application/octet-stream\r\n",
    re.IGNORECASE,
)
_END = re.compile(rb"-- ?Encrypted Boundary--(?:\r\n)?\Z")
_MAX_PADDING = 16


class Malformed(Exception):
    """What came is not one encrypted message."""


class Sealed(Protocol):
    """Whatever encrypts and decrypts in the order in which messages are sent."""

    def unwrap(self, signature: bytes, data: bytes) -> bytes:
        """Decrypt and verify."""

    def wrap(self, data: bytes) -> tuple[bytes, bytes, int]:
        """Signature, ciphertext, and how many octets of that are padding."""


@dataclass(frozen=True)
class Original:
    """What was inside. ``protocol`` is one of the two names above, for the reply."""

    protocol: str
    content_type: str
    body: bytes


def is_encrypted(content_type: str) -> bool:
    """True when a body of this type must be decrypted."""
    return content_type.lower().startswith(("multipart/encrypted", "multipart/x-multi-encrypted"))


def decrypt(content_type: str, body: bytes, sealed: Sealed) -> Original:
    """Malformed, or whatever ``sealed`` raises; then the order of messages is lost."""
    protocol = _PROTOCOL.search(content_type)
    head = _HEAD.match(body)
    end = _END.search(body, max(0, len(body) - 30))
    if not (protocol and head and end):
        raise Malformed
    payload = body[head.end() : end.start()]
    if len(payload) < 4:
        raise Malformed
    (length,) = struct.unpack_from("<I", payload)
    if length > len(payload) - 4:
        raise Malformed
    plain = sealed.unwrap(payload[4 : 4 + length], payload[4 + length :])
    if not 0 <= int(head[2]) - len(plain) <= _MAX_PADDING:
        raise Malformed
    spoken = KERBEROS if protocol[1].lower() == KERBEROS.lower() else SPNEGO
    return Original(spoken, head[1].decode("ascii"), plain)


def encrypt(protocol: str, content_type: str, body: bytes, sealed: Sealed) -> tuple[str, bytes]:
    """Content-Type and body of the message that carries this one."""
    signature, data, padding = sealed.wrap(body)
    kind = content_type.replace("; ", ";")
    head = (
        f"\r\n\tContent-Type: {protocol}\r\n"
        f"\tOriginalContent: type={kind};Length={len(body) + padding}\r\n"
    ).encode()
    length = struct.pack("<I", len(signature))
    parts = (
        *(_BOUNDARY, head, _BOUNDARY, b"\r\n\tContent-Type: application/octet-stream\r\n"),
        *(length, signature, data, _BOUNDARY, b"--\r\n"),
    )
    kind = f'multipart/encrypted;protocol="{protocol}";boundary="Encrypted Boundary"'
    return kind, b"".join(parts)
