"""Hypervisor URIs: libvirt's own (libvirt.org/uri.html) with parameters of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from openrdms.model.errors import InvalidParameter

_FIELD = "hypervisor"
_OURS = {"name", "network", "accel", "gold", "copy_mib_s", "shared"}
_UNVERIFIED = {"no_verify", "no_sanity"}
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
    ``copy_rate`` bounds that, in bytes a second. ``far`` is the machine's name or address when
    libvirt is reached over the network, "" when it is on this machine. ``shared`` is a directory
    that this machine, the host and others with the same value see under that path: desktops move
    between them while they run.
    """

    libvirt: str
    root: Path | None
    name: str = ""
    network: Network = Network()
    acceleration: str = "auto"
    gold: Path | None = None
    copy_rate: float | None = None
    far: str = ""
    shared: Path | None = None


def parse_uri(text: str, default_root: Path) -> HostUri:
    """Take our parameters out; give the embedded driver ``default_root`` when it names none.

    InvalidParameter names the parameter that is wrong.
    """
    parts = urlsplit(text)
    _check_secrets(parts)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    ours = {key: value for key, value in pairs if key in _OURS}
    theirs = [(key, value) for key, value in pairs if key not in ours]
    root = None
    if parts.path == "/embed":
        root = Path(dict(theirs).get("root") or default_root).absolute()
        theirs = [("root", str(root)), *((k, v) for k, v in theirs if k != "root")]
    far = parts.hostname or ""
    if far and parts.scheme.endswith("+ssh") and "no_tty" not in dict(theirs):
        theirs.append(("no_tty", "1"))  # nobody is there to be asked for a password
    acceleration = ours.get("accel", "auto")
    if acceleration not in _ACCELERATIONS:
        raise InvalidParameter(_FIELD, f"accel={acceleration} is none of auto, kvm, qemu")
    return HostUri(
        libvirt=_join(parts.scheme, parts.netloc, parts.path, theirs),
        root=root,
        name=_parse_name(ours.get("name", far)),
        network=_parse_network(ours.get("network", "user")),
        acceleration=acceleration,
        gold=_parse_gold(ours.get("gold")),
        copy_rate=_parse_rate(ours.get("copy_mib_s")),
        far=far,
        shared=_parse_shared(ours.get("shared"), root, far),
    )


def _check_secrets(parts: SplitResult) -> None:
    """What is in a URI is seen by everybody here, and logged; and who answers must be known."""
    if parts.password is not None:
        raise InvalidParameter(_FIELD, "a password has no place in a URI: use a key")
    if parts.scheme.endswith("+tcp"):
        raise InvalidParameter(_FIELD, f"{parts.scheme} is open to all on the way: use qemu+tls")
    given = {key.casefold(): value for key, value in parse_qsl(parts.query)}  # as libvirt reads it
    unverified = _UNVERIFIED & given.keys()
    if given.get("known_hosts_verify", "normal") != "normal":
        unverified.add(f"known_hosts_verify={given['known_hosts_verify']}")
    if unverified:
        reason = f"{unverified.pop()} would let anybody pass for {parts.hostname}"
        raise InvalidParameter(_FIELD, reason)


def _parse_name(text: str) -> str:
    """It names a directory where disks are shared."""
    if "/" in text or text.startswith("."):
        raise InvalidParameter(_FIELD, f"name={text} cannot be part of a file name")
    return text


def _parse_shared(text: str | None, root: Path | None, far: str) -> Path | None:
    if text is None and far:
        raise InvalidParameter(_FIELD, f"{far} needs shared=DIRECTORY: disks are made from here")
    if text is None:
        return None
    if not text.startswith("/"):
        raise InvalidParameter(_FIELD, f"shared={text} is no absolute path of a directory")
    if root:
        raise InvalidParameter(_FIELD, "shared= needs a libvirtd: qemu+unix, qemu+tls, qemu+ssh")
    return Path(text)


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
