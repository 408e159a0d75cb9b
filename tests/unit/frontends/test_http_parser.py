"""Octets to requests: any split gives the same, limits hold, nothing breaks it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.frontends.http.parser import (
    MAX_BODY,
    MAX_HEAD,
    MAX_HEADERS,
    Received,
    Refused,
    RequestParser,
    Stage,
)

START = b"POST /wsman HTTP/1.1\r\nHost: x\r\n"
PATHS = ("/wsman", "/wsman/")


def parse(*chunks: bytes) -> list[Received | Refused]:
    parser = RequestParser(PATHS)
    for chunk in chunks:
        if parser.received and isinstance(parser.received[-1], Refused):
            break  # the connection reads no more
        parser.feed(chunk)
    return list(parser.received)


def only(*chunks: bytes) -> Received | Refused:
    (found,) = parse(*chunks)
    return found


def body(text: bytes, headers: bytes = b"") -> bytes:
    return START + headers + b"Content-Length: %d\r\n\r\n" % len(text) + text


def status(*chunks: bytes) -> int:
    found = only(*chunks)
    assert isinstance(found, Refused)
    return found.status


PIPELINE = (
    body(b"one", b"Authorization: Basic x\r\nX: 1\r\nx: 2\r\n")
    + START
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n2;x=y\r\n+2\r\n0\r\nAuthorization: t\r\n\r\n"
    + body(b"")
    + b"POST /wsman/?a=b HTTP/1.0\r\n\r\n"
)


def test_what_a_pipeline_says() -> None:
    found = [item for item in parse(PIPELINE) if isinstance(item, Received)]
    assert [item.request.body for item in found] == [b"one", b"two+2", b"", b""]
    assert found[0].request.headers["x"] == "1, 2"
    assert [item.request.path for item in found] == ["/wsman"] * 3 + ["/wsman/"]
    assert [item.keep_alive for item in found] == [True, True, True, False]
    assert found[3].version == "1.0"
    # What comes behind a body is nobody's credentials.
    assert "authorization" not in found[1].request.headers


@given(st.lists(st.integers(0, len(PIPELINE)), max_size=12))
def test_any_split_says_the_same(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(PIPELINE)]
    chunks = [PIPELINE[a:b] for a, b in pairwise(places)]
    assert parse(*[chunk for chunk in chunks if chunk]) == parse(PIPELINE)


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=5))
def test_garbage_is_refused_or_waited_for(chunks: list[bytes]) -> None:
    for chunk in ([], [START]):
        for item in parse(*chunk, *chunks):
            assert isinstance(item, Received) or item.status in (400, 404, 405, 413, 431, 505)


@given(
    st.text(st.characters(max_codepoint=255), max_size=30),
    st.text(st.characters(max_codepoint=255), max_size=30),
)
def test_strange_headers(name: str, value: str) -> None:
    head = START + f"{name}: {value}\r\n".encode("latin-1")
    for item in parse(head + b"Content-Length: 0\r\n\r\n"):
        assert isinstance(item, (Received, Refused))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET /wsman HTTP/1.1\r\n\r\n", 405),
        (b"POST /other HTTP/1.1\r\n\r\n", 404),
        (b"POST http://x/wsman HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", None),
        (b"POST /wsman HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
        (b"POST /wsman HTTP/1.0\r\nContent-Length: 0\r\n\r\n", None),
        (START + b"Host: y\r\nContent-Length: 0\r\n\r\n", 400),
        (b"POST * HTTP/1.1\r\n\r\n", 404),
        (START + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (START + b"Content-Length: 99999999999999\r\n\r\n", 413),
        (START + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (START + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (START + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400),
        (START + b"Transfer-Encoding: chunked, identity\r\n\r\n", 400),
        (START + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (START + b"Content-Length: +1\r\n\r\n", 400),
        (START + b"Content-Length: 0x1\r\n\r\n", 400),
        (START + b"Content-Length: 1 \r\n\r\na", None),
        (START + b"A\r\n\r\n", 400),
        (START + b"A : b\r\n\r\n", 400),
        (START + b" folded: b\r\n\r\n", 400),
        (START + b"A: b\nC: d\r\n\r\n", 400),
        (b"POST /wsman HTTP/2.0\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (START + b"Origin: https://elsewhere.test\r\n\r\n", 403),
        (START + b"X: y\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431),
    ],
)
def test_heads(data: bytes, expected: int | None) -> None:
    if expected is None:
        assert isinstance(only(data), Received)
    else:
        assert status(data) == expected


def test_chunks_that_become_too_large() -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    assert status(START + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 9) == 413


@pytest.mark.parametrize("endless", [b"X: ", b"X: y\r\n", b"y"])
def test_a_trailer_or_chunk_extension_without_end(endless: bytes) -> None:
    begin = b"0\r\nX: " if endless != b"y" else b"1;"
    more = endless * (50_000 // len(endless))
    refused = [START + b"Transfer-Encoding: chunked\r\n\r\n" + begin, *[more] * 30]
    assert status(*refused) == 413


def test_a_head_without_end() -> None:
    assert status(START + b"X: ", *[b"y" * 10_000] * (MAX_HEAD // 10_000 + 1)) == 431


def test_a_large_head_in_pieces_behind_others_is_fine() -> None:
    head = START + b"Authorization: Kerberos " + b"x" * 50_000 + b"\r\nContent-Length: 0\r\n\r\n"
    found = parse(body(b"x" * 60_000) + head[:10], head[10:40_000], head[40_000:])
    assert [type(item) for item in found] == [Received, Received]


def test_stages_and_continue() -> None:
    parser = RequestParser(PATHS)
    assert parser.stage is Stage.IDLE
    parser.feed(START)
    assert parser.stage is Stage.HEAD
    parser.feed(b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert (parser.stage, parser.wants_continue) == (Stage.BODY, True)
    parser.feed(b"a")
    assert (parser.stage, parser.wants_continue) == (Stage.BODY, False)
    parser.feed(b"bc")
    assert parser.stage is Stage.IDLE


def test_http_1_0_is_not_told_to_continue() -> None:
    parser = RequestParser(PATHS)
    parser.feed(b"POST /wsman HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
    assert (parser.stage, parser.wants_continue) == (Stage.BODY, False)
