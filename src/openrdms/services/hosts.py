"""The hypervisor hosts of this service, found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from openrdms import ports
from openrdms.model import errors
from openrdms.model.host import VmEvent


class Hosts:
    """The hosts given at start, without those given up. Names are compared ignoring case, by short
    or full form.

    ``host1`` and ``host1.example.org`` name the same host unless there are two of that short
    name; two full names of different domains never do.
    """

    def __init__(self, hosts: Iterable[ports.Host]) -> None:
        """InvalidParameter when two hosts share a name."""
        self._hosts: dict[str, ports.Host] = {}
        self._given_up: dict[str, ports.Host] = {}
        for host in hosts:
            if self._hosts.setdefault(host.name.casefold(), host) is not host:
                raise errors.InvalidParameter(
                    "hypervisor",
                    f"two hosts are called {host.name}; name= in the URI tells them apart",
                )

    def all(self) -> list[ports.Host]:
        """Every host, in the order in which they were named."""
        return list(self._hosts.values())

    def find(self, name: str) -> ports.Host | None:
        """The one host that ``name`` means, or None."""
        exact = self._hosts.get(name.casefold())
        if exact:
            return exact
        alike = [host for known, host in self._hosts.items() if _same_host(known, name.casefold())]
        return alike[0] if len(alike) == 1 else None

    def get(self, name: str) -> ports.Host:
        """The one host that ``name`` means. NotFound names what was asked for."""
        host = self.find(name)
        if host is None:
            known = ", ".join(host.name for host in self.all())
            raise errors.NotFound(f"no hypervisor host is called {name!r} (there are: {known})")
        return host

    def give_up(self, host: ports.Host) -> None:
        """Know that host no more until it is taken back."""
        self._hosts = {key: one for key, one in self._hosts.items() if one is not host}
        self._given_up[host.name.casefold()] = host

    def take_back(self, host: ports.Host) -> None:
        """Know a host again that was given up; one that was not stays where it is."""
        if self._given_up.pop(host.name.casefold(), None):
            self._hosts = {**self._hosts, host.name.casefold(): host}

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Callable[[], None]:
        """Call ``callback`` on every event of every host; returns how to end it."""
        ends = [host.subscribe(callback) for host in self.all()]

        def end() -> None:
            for end_one in ends:
                end_one()

        return end

    def close(self) -> None:
        """Let go of all hosts; their VMs keep running."""
        for host in [*self.all(), *self._given_up.values()]:
            host.close()


def _same_host(one: str, other: str) -> bool:
    """True when one is the short form of the other, both in lower case."""
    short = "." not in one or "." not in other
    return short and one.partition(".")[0] == other.partition(".")[0]
