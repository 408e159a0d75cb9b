"""Finding hosts by name."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from openrdms.model import errors
from openrdms.model.host import VmEvent, VmEventKind
from openrdms.services.hosts import Hosts


@dataclass
class NamedHost:
    name: str
    callbacks: list = field(default_factory=list)

    def subscribe(self, callback):
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)


def make(*names: str) -> Hosts:
    return Hosts(NamedHost(name) for name in names)


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ("host1.sim.local", "HOST1.sim.local"),
        ("host1.sim.local", "host1"),
        ("Host1", "host1.example.org"),
    ],
)
def test_a_host_is_found_by_short_and_full_name_in_any_case(known: str, asked: str) -> None:
    assert make(known, "other").get(asked).name == known


def test_full_names_of_different_domains_are_different_hosts() -> None:
    hosts = make("host1.a.org", "host1.b.org")
    assert hosts.find("host1.b.org") is hosts.all()[1]
    assert hosts.find("host1.c.org") is None


def test_a_short_name_of_two_hosts_finds_neither() -> None:
    assert make("host1.a.org", "host1.b.org").find("host1") is None


def test_a_short_name_prefers_the_host_that_is_called_so() -> None:
    assert make("host1.a.org", "host1").get("HOST1").name == "host1"


def test_an_unknown_host_is_named_in_the_error() -> None:
    with pytest.raises(errors.NotFound, match="'host9'"):
        make("host1").get("host9")


def test_two_hosts_of_one_name_are_refused() -> None:
    with pytest.raises(errors.InvalidParameter, match="host1"):
        make("HOST1", "host1")


def test_subscribing_to_all_hosts_ends_on_all_hosts() -> None:
    hosts = make("host1", "host2")
    seen = []
    end = hosts.subscribe(seen.append)
    event = VmEvent(VmEventKind.STARTED, "host2", "d-1")
    hosts.all()[1].callbacks[0](event)
    end()
    assert seen == [event]
    assert [host.callbacks for host in hosts.all()] == [[], []]
