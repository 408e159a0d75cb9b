"""What viewers may send to displays."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.frontends.web.rfb_messages import MAX_TEXT, VERSION, ViewerMessages, WrongMessage
from openrdms.model.display_ticket import Mode

HELLO = VERSION + b"\x01" + b"\x01"
FORMAT = b"\0\0\0\0" + bytes(16)
ASK = struct.pack(">BBHHHH", 3, 1, 0, 0, 720, 400)
KEY = struct.pack(">BBxxI", 4, 1, ord("a"))
POINTER = struct.pack(">BBHH", 5, 1, 10, 10)
CUT = struct.pack(">B3xI", 6, 5) + b"hello"
CONTINUE = bytes([150]) + bytes(9)
FENCE = struct.pack(">B3xIB", 248, 1, 3) + b"abc"
XVP = bytes([250, 0, 1, 2])
SIZE = struct.pack(">BxHHBx", 251, 800, 600, 1) + bytes(16)
SCAN_CODE = bytes([255, 0]) + bytes(10)


def encodings(*codes: int) -> bytes:
    return struct.pack(f">BxH{len(codes)}i", 2, len(codes), *codes)


LOOKING = [FORMAT, ASK, encodings(0, 5, 7, 16)]
INPUT = [KEY, POINTER, CUT, SCAN_CODE]
USING = [*LOOKING, *INPUT, CONTINUE, FENCE, SIZE]


def after_hello(mode: Mode, *, is_holder: bool = True) -> ViewerMessages:
    messages = ViewerMessages(mode, is_holder=is_holder)
    assert messages.feed(HELLO) == HELLO
    return messages


@pytest.mark.parametrize("message", USING)
def test_who_uses_a_desktop_may_send(message: bytes) -> None:
    assert after_hello(Mode.CONTROL).feed(message) == message


@pytest.mark.parametrize("message", [*INPUT, CONTINUE, FENCE, XVP, SIZE])
def test_who_looks_may_not_send(message: bytes) -> None:
    assert after_hello(Mode.VIEW).feed(message + ASK) == ASK


def test_who_helps_changes_no_size() -> None:
    messages = after_hello(Mode.CONTROL, is_holder=False)
    assert messages.feed(SIZE + KEY + encodings(7, -308)) == KEY + encodings(7)


def test_nobody_switches_a_machine_off() -> None:
    assert after_hello(Mode.CONTROL).feed(XVP + KEY) == KEY


def test_a_display_is_always_shared() -> None:
    for mode in Mode:
        assert ViewerMessages(mode, is_holder=False).feed(HELLO[:-1] + b"\0") == HELLO


@pytest.mark.parametrize("hello", [b"RFB 003.003\n", b"GET / HTTP/1", VERSION + b"\x02"])
def test_another_greeting_is_refused(hello: bytes) -> None:
    with pytest.raises(WrongMessage):
        ViewerMessages(Mode.CONTROL, is_holder=True).feed(hello)


def test_encodings_whose_messages_are_not_known_are_left_out() -> None:
    clipboard = struct.unpack(">i", bytes.fromhex("c0a1e5ce"))[0]
    asked = encodings(7, -239, -308, -313, -316, -309, -259, clipboard)
    assert after_hello(Mode.CONTROL).feed(asked) == encodings(7, -239, -308, -313)
    assert after_hello(Mode.VIEW).feed(asked) == encodings(7, -239)


@pytest.mark.parametrize(
    "message",
    [
        b"\x07",
        b"\xfe",
        bytes([255, 1]) + bytes(10),
        struct.pack(">B3xI", 6, MAX_TEXT + 1),
        struct.pack(">B3xi", 6, -5),
    ],
)
@pytest.mark.parametrize("mode", Mode)
def test_what_is_not_known_ends_it(message: bytes, mode: Mode) -> None:
    with pytest.raises(WrongMessage):
        after_hello(mode).feed(message)


def test_activity_is_noted() -> None:
    messages = after_hello(Mode.CONTROL)
    messages.feed(ASK)
    assert not messages.has_typed
    messages.feed(POINTER)
    assert messages.has_typed


@given(st.lists(st.sampled_from([*USING, XVP]), max_size=30), st.data(), st.sampled_from(Mode))
def test_how_a_stream_is_cut_does_not_matter(
    sent: list[bytes], data: st.DataObject, mode: Mode
) -> None:
    stream = HELLO + b"".join(sent)
    at_once = ViewerMessages(mode, is_holder=True).feed(stream)
    pieces = ViewerMessages(mode, is_holder=True)
    passed = b""
    while stream:
        size = data.draw(st.integers(1, 40))
        passed += pieces.feed(stream[:size])
        stream = stream[size:]
    assert passed == at_once
    wanted = USING if mode is Mode.CONTROL else LOOKING
    assert at_once == HELLO + b"".join(message for message in sent if message in wanted)


@given(st.binary(max_size=300))
def test_who_looks_never_types(noise: bytes) -> None:
    messages = after_hello(Mode.VIEW)
    try:
        passed = messages.feed(noise)
    except WrongMessage:
        return
    assert not messages.has_typed
    assert passed[:1] in (b"", b"\0", b"\2", b"\3")
