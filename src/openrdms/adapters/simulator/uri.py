"""The simulator's URI: ``simulator:///PATH?hosts=10&slots=2&...``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from openrdms.model.errors import InvalidParameter

SCHEME = "simulator"


@dataclass(frozen=True)
class Settings:
    """How the cluster in the directory ``path`` behaves. The parameters of the URI by name.

    Each of ``hosts`` hosts holds ``capacity`` desktops, does ``slots`` clones, starts, saves and
    destroys at once and has ``memory_mib`` for all that run together. Durations are in
    milliseconds; ``fail`` is the probability that an attempt to make or start something fails;
    ``users`` are logged on when a guest's agent first answers; ``copy_ms`` is what an image that
    the host lacks takes to get there.
    """

    path: Path
    hosts: int = 10
    slots: int = 2
    capacity: int = 100_000
    memory_mib: int = 25_600_000
    clone_ms: int = 50
    start_ms: int = 100
    boot_ms: int = 500
    agent_ms: int = 20
    destroy_ms: int = 20
    save_ms: int = 100
    copy_ms: int = 200
    users: int = 1
    fail: float = 0.0
    seed: int = 1


_NUMBERS = {
    "hosts": (1, None),
    "slots": (1, None),
    "capacity": (1, None),
    "memory_mib": (1, None),
    "clone_ms": (0, None),
    "start_ms": (0, None),
    "boot_ms": (0, None),
    "agent_ms": (0, None),
    "destroy_ms": (0, None),
    "save_ms": (0, None),
    "copy_ms": (0, None),
    "users": (0, None),
    "fail": (0, 1),
    "seed": (None, None),
}


def parse(uri: str) -> Settings:
    """Read a simulator URI. InvalidParameter names the parameter that is unknown or wrong."""
    parts = urlsplit(uri)
    path = Path(unquote(parts.path))
    if parts.scheme != SCHEME or parts.netloc or parts.fragment:
        raise InvalidParameter("hypervisor", f"{uri} is not {SCHEME}:///PATH?NAME=NUMBER&...")
    if not path.is_absolute() or path == Path("/"):
        raise InvalidParameter("hypervisor", f"{uri} names no directory for the simulator's state")
    given: dict[str, float] = {}
    for name, text in parse_qsl(parts.query, keep_blank_values=True):
        if name in given:
            raise InvalidParameter(name, "given twice")
        given[name] = _number(name, text)
    return Settings(path, **given)  # type: ignore[arg-type]  # _number gave each its own type


def _number(name: str, text: str) -> float:
    if name not in _NUMBERS:
        known = ", ".join(_NUMBERS)
        raise InvalidParameter(name, f"not a parameter of the simulator; it has {known}")
    low, high = _NUMBERS[name]
    try:
        number = float(text) if name == "fail" else int(text)
    except ValueError:
        raise InvalidParameter(name, f"{text!r} is not a number") from None
    # Written so that NaN is refused too.
    if not ((low is None or number >= low) and (high is None or number <= high)):
        raise InvalidParameter(name, f"{text} is out of range")
    return number
