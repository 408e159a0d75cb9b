"""The first packet of an RDP client."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.rdp import NEGOTIATION, PLAIN, request
from openrdms.frontends.rdp.x224 import LONGEST, Malformed, parse, read_length


def test_the_token_is_taken_out() -> None:
    found = parse(request(b"openrdms:abc"))
    assert (found.token, found.without_token) == ("openrdms:abc", PLAIN)


def test_a_client_without_a_token() -> None:
    assert (parse(PLAIN).token, parse(PLAIN).without_token) == ("", PLAIN)
    odd = request(b"t", bytes.fromhex("01000800") + b"\r\n\0\0")
    assert parse(odd).token == "t"
    assert parse(odd).without_token[-4:] == b"\r\n\0\0"


def test_a_correlation_id_is_sent_on() -> None:
    negotiation = NEGOTIATION + bytes([6, 0, 36, 0, *range(32)])
    assert parse(request(b"t", negotiation)).without_token.endswith(negotiation)


@pytest.mark.parametrize(
    "packet",
    [
        *(b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" + bytes(60), b"\x03\x00\x00\x04"),
        *(b"\x03\x00\xff\xff" + bytes(60), PLAIN[:-1], PLAIN + b"\0"),
        *(PLAIN[:5] + b"\xd0" + PLAIN[6:], request(b"\xff\xfe"), request(b"t", b"\1\0\x08")),
    ],
)
def test_what_is_no_request(packet: bytes) -> None:
    with pytest.raises(Malformed):
        parse(packet)


@given(st.binary(min_size=4, max_size=600))
def test_any_octets_are_parsed_or_refused(packet: bytes) -> None:
    try:
        assert read_length(packet[:4]) <= LONGEST
        found = parse(packet)
    except Malformed:
        return
    assert parse(found.without_token).token == ""


@given(st.from_regex(r"[!-~]{1,200}", fullmatch=True))
def test_any_token_comes_through(token: str) -> None:
    assert parse(request(token.encode())).token == token
