"""multipart/encrypted: what is written is read again, and nothing else is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.frontends.http.message_encryption import (
    KERBEROS,
    SPNEGO,
    Malformed,
    decrypt,
    encrypt,
    is_encrypted,
)

SOAP = "application/soap+xml;charset=UTF-8"
RECORDED = (
    b"--Encrypted Boundary\r\n"
    b"\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
    b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=5\r\n"
    b"--Encrypted Boundary\r\n"
    b"\tContent-Type: application/octet-stream\r\n"
    b"\x03\0\0\0sigHELLO--Encrypted Boundary--\r\n"
)
KIND = f'multipart/encrypted;protocol="{SPNEGO}";boundary="Encrypted Boundary"'


class Swapped:
    """Encryption by changing case, with a signature that must be there."""

    def unwrap(self, signature: bytes, data: bytes) -> bytes:
        if signature != b"sig":
            raise ValueError(signature)
        return data.swapcase()

    def wrap(self, data: bytes) -> tuple[bytes, bytes, int]:
        return b"sig", data.swapcase(), 0


@given(st.binary(), st.sampled_from([SPNEGO, KERBEROS]))
def test_round_trip(body: bytes, protocol: str) -> None:
    kind, wrapped = encrypt(protocol, SOAP, body, Swapped())
    assert is_encrypted(kind)
    found = decrypt(kind, wrapped, Swapped())
    assert (found.protocol, found.content_type, found.body) == (protocol, SOAP, body)


def test_as_windows_writes_it() -> None:
    assert encrypt(SPNEGO, SOAP, b"hello", Swapped()) == (KIND, RECORDED)
    # Some clients put a blank after the dashes.
    spaced = RECORDED.replace(b"--Encrypted", b"-- Encrypted")
    assert decrypt(KIND, spaced, Swapped()).body == b"hello"


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        RECORDED[:-30],
        RECORDED[1:],
        RECORDED.replace(b"Length=5", b"Length=4"),
        RECORDED.replace(b"Length=5", b"Length=22"),
        RECORDED.replace(b"Length=5", b"Length=-5"),
        RECORDED.replace(b"Length=5", b""),
        RECORDED.replace(b"\x03\0\0\0sig", b"\xff\xff\xff\xffsig"),
        RECORDED.replace(b"\x03\0\0\0sigHELLO", b"\3\0"),
        RECORDED + b"more",
        RECORDED + RECORDED,
    ],
)
def test_what_is_malformed(wrong: bytes) -> None:
    with pytest.raises(Malformed):
        decrypt(KIND, wrong, Swapped())


def test_a_protocol_that_is_not_ours() -> None:
    with pytest.raises(Malformed):
        decrypt(KIND.replace("SPNEGO", "CredSSP"), RECORDED, Swapped())


@given(st.binary(max_size=400))
def test_garbage(body: bytes) -> None:
    with pytest.raises(Malformed):
        decrypt(KIND, body, Swapped())
