"""A network on this machine: a bridge with an address of this machine's, and network namespaces
that are connected to it. They reach each other and this machine, nothing else.
"""

from __future__ import annotations

import functools
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@functools.cache
def why_not() -> str:
    """Why no such network can be made here, "" when it can."""
    try:
        with network() as made:
            made.place(2)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network namespaces cannot be made here: {error}"
    return ""


class Place:
    """A network namespace with one ``address``, on a cable that can be pulled."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._name = "or" + secrets.token_hex(4)

    @property
    def enter(self) -> tuple[str, ...]:
        """What is put before a command that is to run there."""
        return ("nsenter", f"--net=/run/netns/{self._name}")

    def make(self, bridge: str) -> None:
        """It is connected to that bridge."""
        ours, theirs = f"{self._name}a", f"{self._name}b"
        run("ip", "netns", "add", self._name)
        _ip(f"link add {ours} type veth peer name {theirs} netns {self._name}")
        _ip(f"link set {ours} master {bridge} up")
        _ip(f"-n {self._name} link set lo up")
        _ip(f"-n {self._name} link set {theirs} up")
        _ip(f"-n {self._name} addr add {self.address}/24 dev {theirs}")

    def cut_off(self) -> None:
        """Pull its network cable."""
        _ip(f"link set {self._name}a down")

    def connect_again(self) -> None:
        """Plug it in."""
        _ip(f"link set {self._name}a up")

    def remove(self) -> None:
        """Nothing is left, once its processes have ended."""
        with suppress(subprocess.CalledProcessError):  # it was not made
            run("ip", "netns", "del", self._name)


class Network:
    """The bridge; ``address`` is this machine's on it."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._choose()

    def _choose(self) -> None:
        """A bridge is named by its addresses, so that no two networks have the same."""
        self._prefix = f"10.{secrets.randbelow(50) + 200}.{secrets.randbelow(256)}"
        self._bridge = f"or{self._prefix}"

    @property
    def address(self) -> str:
        """Where places reach what listens on this machine."""
        return f"{self._prefix}.1"

    def place(self, number: int) -> Place:
        """A new one, at an address that ends with that number, 2 to 254."""
        place = Place(f"{self._prefix}.{number}")
        self._places.append(place)
        place.make(self._bridge)
        return place

    def make(self) -> None:
        """The bridge."""
        while not self._add():
            self._choose()
        _ip(f"addr add {self.address}/24 dev {self._bridge}")
        _ip(f"link set {self._bridge} up")

    def _add(self) -> bool:
        """Whether no other network has that name."""
        try:
            _ip(f"link add {self._bridge} type bridge")
        except subprocess.CalledProcessError as error:
            if b"File exists" in error.stderr:
                return False
            raise
        return True

    def remove(self) -> None:
        """With all its places."""
        for place in self._places:
            place.remove()
        with suppress(subprocess.CalledProcessError):  # it was not made
            _ip(f"link del {self._bridge}")


@contextmanager
def network() -> Iterator[Network]:
    """One without places, of which nothing is left."""
    made = Network()
    try:
        made.make()
        yield made
    finally:
        made.remove()


def run(*command: str) -> None:
    """A command of the system's; CalledProcessError has what it said."""
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def _ip(command: str) -> None:
    run("ip", *command.split())
