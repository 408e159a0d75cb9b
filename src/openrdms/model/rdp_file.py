"""RDP files: what a Remote Desktop client is told of a connection.

A line is ``name:type:value``, the type being i (a number), s (text) or b (octets in hex). There is
no way to write a line end or a NUL inside a value, so a text that has one is refused. Names are
compared ignoring case. mstsc writes UTF-16LE with a byte order mark and CR LF, and reads UTF-8 too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntFlag

from openrdms.model.errors import InvalidParameter

MEDIA_TYPE = "application/x-rdp"
MAX_FILE = 64 * 1024
"""Octets of a file that we read."""
MAX_CUSTOM = 8 * 1024
"""Characters of a collection's own settings."""
RDP_PORT = 3389

_KINDS = "isb"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,63}")
_NUMBER = re.compile(r"-?[0-9]{1,10}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")
_UNWRITABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")

_OURS = frozenset(
    {
        *("full address", "alternate full address", "server port", "username", "domain"),
        *("loadbalanceinfo", "remoteapplicationmode", "remoteapplicationprogram"),
        *("remoteapplicationname", "remoteapplicationcmdline", "alternate shell"),
        *("signscope", "signature"),
    }
)
"""What a collection's own settings may not say: it is decided for each connection."""


class Redirection(IntFlag):
    """DeviceRedirectionOptions of a collection (facts c.6)."""

    AUDIO_PLAYBACK = 1
    AUDIO_RECORDING = 2
    COM = 4
    PLUG_AND_PLAY = 8
    SMART_CARD = 16
    CLIPBOARD = 32
    LPT = 64
    DRIVE = 128
    TIME_ZONE = 256


@dataclass(frozen=True)
class Setting:
    """One line."""

    name: str
    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}:{self.kind}:{self.value}"


@dataclass(frozen=True)
class Devices:
    """What users of a collection take along.

    ``monitors`` is 1 for one; clients read anything above as all.
    """

    redirection: Redirection
    monitors: int
    printer: bool


@dataclass(frozen=True)
class Gateway:
    """The DeploymentGateway… keys (facts b.2): how clients outside come to the server."""

    usage: int = 0
    name: str = ""
    auth_mode: int = 0
    cached_credentials: bool = False


@dataclass(frozen=True)
class RemoteApp:
    """An application that is opened instead of the desktop. ``arguments`` None: it has none."""

    name: str
    program: str
    arguments: str | None = None
    file_extensions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """One connection: the server that clients call, who they are, and what tells it where to
    ("" for a server that needs no telling).
    """

    address: str
    port: int
    user: str
    routing_token: str
    title: str
    domain: str = ""


@dataclass(frozen=True)
class Wishes:
    """What a collection and its deployment say of connections. ``custom`` was accepted before."""

    devices: Devices
    gateway: Gateway = Gateway()
    custom: str = ""


def parse(text: str) -> list[Setting]:
    """Its settings. InvalidParameter for a line that is none; empty lines are left out."""
    return [_parse_line(line) for line in re.split(r"\r\n|\r|\n", text) if line.strip()]


def find(settings: Iterable[Setting], name: str) -> Setting | None:
    """The first of that name."""
    folded = name.casefold()
    return next((one for one in settings if one.name.casefold() == folded), None)


def render(settings: Iterable[Setting]) -> str:
    """As text, CR LF after each line. InvalidParameter for a value that cannot be written."""
    return "".join(f"{_checked(one)}\r\n" for one in settings)


def encode(text: str) -> bytes:
    """As mstsc writes it."""
    return b"\xff\xfe" + text.encode("utf-16-le")


def decode(content: bytes) -> str:
    """The text of a file in one of the encodings that mstsc reads. InvalidParameter."""
    if len(content) > MAX_FILE:
        raise InvalidParameter("file", f"{len(content)} octets are more than {MAX_FILE}")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidParameter("file", f"is neither UTF-16 nor UTF-8: {error.reason}") from error


def accept_custom(text: str) -> str:
    """A collection's own settings as they are kept, one a line, the last of a name alone.

    ValueError names the line that is wrong or that is not for a collection to say.
    """
    if len(text) > MAX_CUSTOM:
        raise ValueError(f"{len(text)} characters are more than {MAX_CUSTOM}")
    kept: dict[str, Setting] = {}
    for line in filter(None, (line.strip() for line in re.split(r"[\r\n]+", text))):
        try:
            setting = _parse_line(line)
        except InvalidParameter as error:
            raise ValueError(str(error).removeprefix("file: ")) from error
        folded = setting.name.casefold()
        if folded in _OURS:
            raise ValueError(f"{setting.name!r} is decided for each connection")
        kept.pop(folded, None)
        kept[folded] = setting
    return "".join(f"{setting}\n" for setting in kept.values())


def compose(target: Target, wishes: Wishes, application: RemoteApp | None = None) -> list[Setting]:
    """All settings of a connection; those of the collection win over what we would say.

    InvalidParameter for a value that cannot be written.
    """
    made = [
        *_server(target),
        *_devices(wishes.devices),
        *_gateway(wishes.gateway),
        *_session(application),
    ]
    custom = {one.name.casefold(): one for one in parse(wishes.custom)}
    settings = [custom.pop(one.name.casefold(), one) for one in made]
    settings += custom.values()
    return [_checked(one) for one in settings]


def _server(target: Target) -> Iterator[Setting]:
    host = f"[{target.address}]" if ":" in target.address else target.address
    address = host if target.port == RDP_PORT else f"{host}:{target.port}"
    yield _text("full address", address)
    yield _text("alternate full address", address)
    yield _number("server port", target.port)
    if target.routing_token:
        yield _text("loadbalanceinfo", target.routing_token)
    yield _text("username", target.user)
    if target.domain:
        yield _text("domain", target.domain)
    yield _text("workspace id", target.address)
    yield _text("remotedesktopname", target.title)
    yield _number("prompt for credentials on client", 1)
    yield _number("authentication level", 2)  # warn of a server that cannot prove who it is
    yield _number("autoreconnection enabled", 1)


def _devices(devices: Devices) -> Iterator[Setting]:
    on = devices.redirection
    yield _number("audiomode", 0 if on & Redirection.AUDIO_PLAYBACK else 2)
    yield _number("videoplaybackmode", bool(on & Redirection.AUDIO_PLAYBACK))
    yield _number("audiocapturemode", bool(on & Redirection.AUDIO_RECORDING))
    yield _number("redirectcomports", bool(on & Redirection.COM))
    yield _text("devicestoredirect", "*" if on & Redirection.PLUG_AND_PLAY else "")
    yield _number("redirectsmartcards", bool(on & Redirection.SMART_CARD))
    yield _number("redirectclipboard", bool(on & Redirection.CLIPBOARD))
    yield _number("redirectdrives", bool(on & Redirection.DRIVE))
    yield _text("drivestoredirect", "*" if on & Redirection.DRIVE else "")
    yield _number("redirectprinters", devices.printer)
    yield _number("use multimon", devices.monitors > 1)


_GATEWAY_METHODS = {0: 0, 1: 2, 2: 1, 3: 3}
"""gatewayusagemethod by usage: 2 goes past the gateway where it can, 1 never, 3 as the client is
set.
"""


def _gateway(gateway: Gateway) -> Iterator[Setting]:
    own = gateway.usage in (1, 2)
    yield _number("gatewayusagemethod", _GATEWAY_METHODS[gateway.usage])
    yield _number("gatewayprofileusagemethod", own)
    yield _text("gatewayhostname", gateway.name if gateway.usage else "")
    yield _number("gatewaycredentialssource", gateway.auth_mode)
    yield _number("promptcredentialonce", gateway.cached_credentials)


def _session(application: RemoteApp | None) -> Iterator[Setting]:
    yield _number("remoteapplicationmode", application is not None)
    if application is None:
        yield _number("screen mode id", 2)  # full screen
        yield _number("smart sizing", 1)
        yield _number("dynamic resolution", 1)
        return
    yield _text("alternate shell", application.program)
    yield _text("remoteapplicationprogram", application.program)
    yield _text("remoteapplicationname", application.name)
    yield _text("remoteapplicationcmdline", application.arguments or "")
    yield _text("remoteapplicationfileextensions", ",".join(application.file_extensions))


def _text(name: str, value: str) -> Setting:
    return Setting(name, "s", value)


def _number(name: str, value: int) -> Setting:
    return Setting(name, "i", str(int(value)))


def _parse_line(line: str) -> Setting:
    name, first, rest = line.partition(":")
    kind, second, value = rest.partition(":")
    if not (first and second and _NAME.fullmatch(name)) or len(kind) != 1 or kind not in _KINDS:
        raise InvalidParameter("file", f"{line[:80]!r} is not name:type:value")
    return _checked(Setting(name, kind, value))


def _checked(setting: Setting) -> Setting:
    if _UNWRITABLE.search(setting.value):
        raise InvalidParameter(setting.name, "has a line end or a control character")
    for kind, form, words in (("i", _NUMBER, "a number"), ("b", _HEX, "octets in hex")):
        if setting.kind == kind and not form.fullmatch(setting.value):
            raise InvalidParameter(setting.name, f"{setting.value[:80]!r} is not {words}")
    return setting
