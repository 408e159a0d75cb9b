"""Hypervisor URIs: libvirt's own (libvirt.org/uri.html) with parameters of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from openrdms.model.errors import InvalidParameter

_FIELD = "hypervisor"
_OURS = {"name", "network", "accel", "gold", "copy_mib_s"}
_ACCELERATIONS = ("auto", "kvm", "qemu")


@dataclass(frozen=True)
class Network:
    """Where desktops are connected: ``kind`` is libvirt's interface type, ``source`` its name."""

    kind: Literal["user", "bridge", "network"] = "user"
    source: str = ""


@dataclass(frozen=True)
class HostUri:
    """A parsed hypervisor URI. ``root`` is the embedded driver's directory, None for daemons.

    ``acceleration`` is auto, or libvirt's domain type: kvm or qemu. ``gold`` is the directory on
    the host to which images are copied, None where the host sees the library itself;
    ``copy_rate`` bounds that, in bytes a second.
    """

    libvirt: str
    root: Path | None
    name: str = ""
    network: Network = Network()
    acceleration: str = "auto"
    gold: Path | None = None
    copy_rate: float | None = None


def parse_uri(text: str, default_root: Path) -> HostUri:
    """Take our parameters out; give the embedded driver ``default_root`` when it names none.

    InvalidParameter names the parameter that is wrong.
    """
    parts = urlsplit(text)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    ours = {key: value for key, value in pairs if key in _OURS}
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
        gold=_parse_gold(ours.get("gold")),
        copy_rate=_parse_rate(ours.get("copy_mib_s")),
    )


def _join(scheme: str, netloc: str, path: str, pairs: Sequence[tuple[str, str]]) -> str:
    query = urlencode(pairs, quote_via=quote, safe="/")
    return f"{scheme}://{netloc}{path}" + (f"?{query}" if query else "")


def _parse_gold(text: str | None) -> Path | None:
    if text is not None and not text.startswith("/"):
        raise InvalidParameter(_FIELD, f"gold={text} is no absolute path of a directory")
    return Path(text) if text else None


def _parse_rate(text: str | None) -> float | None:
    """Bytes a second from MiB a second."""
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise InvalidParameter(_FIELD, f"copy_mib_s={text} is no number above 0")
    return rate * (1 << 20)


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
