"""Hypervisor URIs: libvirt's own (libvirt.org/uri.html) with three parameters of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from openrdms.model.errors import InvalidParameter

_FIELD = "hypervisor"
_ACCELERATIONS = ("auto", "kvm", "qemu")


@dataclass(frozen=True)
class Network:
    """Where desktops are connected: ``kind`` is libvirt's interface type, ``source`` its name."""

    kind: Literal["user", "bridge", "network"] = "user"
    source: str = ""


@dataclass(frozen=True)
class HostUri:
    """A parsed hypervisor URI. ``root`` is the embedded driver's directory, None for daemons.

    ``acceleration`` is auto, or libvirt's domain type: kvm or qemu.
    """

    libvirt: str
    root: Path | None
    name: str = ""
    network: Network = Network()
    acceleration: str = "auto"


def parse_uri(text: str, default_root: Path) -> HostUri:
    """Take our parameters out; give the embedded driver ``default_root`` when it names none.

    InvalidParameter names the parameter that is wrong.
    """
    parts = urlsplit(text)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    ours = {key: value for key, value in pairs if key in {"name", "network", "accel"}}
    theirs = [(key, value) for key, value in pairs if key not in ours]
    root = None
    if parts.path == "/embed":
        root = Path(dict(theirs).get("root") or default_root).absolute()
        theirs = [("root", str(root)), *((k, v) for k, v in theirs if k != "root")]
    acceleration = ours.get("accel", "auto")
    if acceleration not in _ACCELERATIONS:
        raise InvalidParameter(_FIELD, f"accel={acceleration} is none of auto, kvm, qemu")
    return HostUri(
        libvirt=_join(parts.scheme, parts.netloc, parts.path, theirs),
        root=root,
        name=ours.get("name", ""),
        network=_parse_network(ours.get("network", "user")),
        acceleration=acceleration,
    )


def _join(scheme: str, netloc: str, path: str, pairs: Sequence[tuple[str, str]]) -> str:
    query = urlencode(pairs, quote_via=quote, safe="/")
    return f"{scheme}://{netloc}{path}" + (f"?{query}" if query else "")


def _parse_network(text: str) -> Network:
    kind, colon, source = text.partition(":")
    match kind:
        case "user" if not colon:
            return Network()
        case "bridge" if source:
            return Network("bridge", source)
        case "libvirt" if source:
            return Network("network", source)
    raise InvalidParameter(_FIELD, f"network={text} is none of user, bridge:NAME, libvirt:NAME")
