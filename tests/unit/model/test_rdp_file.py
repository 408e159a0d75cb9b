"""RDP files: what is said of a connection, and that nothing can be smuggled in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.errors import InvalidParameter
from openrdms.model.rdp_file import (
    MAX_FILE,
    Devices,
    Gateway,
    Redirection,
    RemoteApp,
    Target,
    Wishes,
    accept_custom,
    compose,
    decode,
    encode,
    find,
    parse,
    render,
)

TARGET = Target("rds.corp.example", 3390, "alice", "openrdms:token", "Office")
DEVICES = Devices(Redirection(187), monitors=2, printer=True)
texts = st.text(max_size=40)


def values(wishes: Wishes, application: RemoteApp | None = None) -> dict[str, str]:
    return {one.name: one.value for one in compose(TARGET, wishes, application)}


def test_a_desktop() -> None:
    said = values(Wishes(DEVICES))
    assert said["full address"] == said["alternate full address"] == "rds.corp.example:3390"
    assert said["username"] == "alice"
    assert said["loadbalanceinfo"] == "openrdms:token"
    assert said["remoteapplicationmode"] == "0"
    assert (said["redirectclipboard"], said["redirectcomports"]) == ("1", "0")
    assert (said["drivestoredirect"], said["use multimon"]) == ("*", "1")
    assert said["gatewayusagemethod"] == "0"


def test_what_users_may_not_take_along() -> None:
    said = values(Wishes(Devices(Redirection(0), monitors=1, printer=False)))
    for name in ("redirectclipboard", "redirectdrives", "redirectsmartcards", "redirectprinters"):
        assert said[name] == "0", name
    assert (said["audiomode"], said["devicestoredirect"], said["use multimon"]) == ("2", "", "0")


def test_an_application() -> None:
    application = RemoteApp("Calculator", "/usr/bin/xcalc", "-rpn", (".calc", ".rpn"))
    said = values(Wishes(DEVICES), application)
    assert said["remoteapplicationmode"] == "1"
    assert said["remoteapplicationprogram"] == said["alternate shell"] == "/usr/bin/xcalc"
    assert said["remoteapplicationcmdline"] == "-rpn"
    assert said["remoteapplicationfileextensions"] == ".calc,.rpn"
    assert "screen mode id" not in said


@pytest.mark.parametrize(("usage", "method"), [(0, "0"), (1, "2"), (2, "1"), (3, "3")])
def test_the_gateway(usage: int, method: str) -> None:
    said = values(Wishes(DEVICES, Gateway(usage, "gate.example", 4, cached_credentials=True)))
    assert said["gatewayusagemethod"] == method
    assert said["gatewayhostname"] == ("gate.example" if usage else "")
    assert (said["gatewaycredentialssource"], said["promptcredentialonce"]) == ("4", "1")


def test_an_ipv6_address_at_the_default_port() -> None:
    target = Target("2001:db8::1", 3389, "alice", "t", "Office")
    address = find(compose(target, Wishes(DEVICES)), "Full Address")
    assert address and address.value == "[2001:db8::1]"


def test_what_a_collection_says_wins() -> None:
    custom = accept_custom("Use Multimon:i:0\r\n\r\nuse multimon:i:0\nkdcproxyname:s:kdc.example")
    assert custom == "use multimon:i:0\nkdcproxyname:s:kdc.example\n"
    said = values(Wishes(DEVICES, custom=custom))
    assert (said["use multimon"], said["kdcproxyname"]) == ("0", "kdc.example")


@pytest.mark.parametrize(
    "text",
    [
        *("full address:s:evil.example", "Full Address:s:evil.example", "username:s:bob"),
        *("signature:s:AAAA", "loadbalanceinfo:s:x", "alternate shell:s:cmd.exe"),
        *("nonsense", "a:q:1", "a:i:one", "a:b:0", ":i:1", "a" * 65 + ":i:1"),
        "a:s:" + "x" * 9000,
    ],
)
def test_what_a_collection_may_not_say(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        accept_custom(text)


@given(user=texts, title=texts, name=texts, arguments=texts)
def test_no_text_becomes_a_line_of_its_own(
    user: str, title: str, name: str, arguments: str
) -> None:
    target = Target("rds.corp.example", 3389, user, "token", title)
    application = RemoteApp(name, "/bin/true", arguments)
    try:
        settings = compose(target, Wishes(DEVICES), application)
    except InvalidParameter:
        return
    text = decode(encode(render(settings)))
    assert parse(text) == settings
    assert [line for line in text.split("\r\n") if line.startswith("full address")] == [
        "full address:s:rds.corp.example"
    ]


@given(st.text(max_size=200))
def test_custom_settings_are_kept_as_they_are_read(text: str) -> None:
    try:
        kept = accept_custom(text)
    except ValueError:
        return
    assert accept_custom(kept) == kept
    assert find(parse(kept), "full address") is None


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_refused(content: bytes) -> None:
    try:
        parse(decode(content))
    except InvalidParameter as error:
        assert error.field


def test_encodings() -> None:
    assert encode("a:i:1\r\n")[:6] == b"\xff\xfea\0:\0"
    for content in (encode("a:s:é"), "a:s:é".encode(), b"\xef\xbb\xbf" + "a:s:é".encode()):
        assert parse(decode(content))[0].value == "é"
    with pytest.raises(InvalidParameter, match="file"):
        decode(bytes(MAX_FILE + 1))
