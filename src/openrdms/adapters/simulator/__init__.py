"""A deterministic cluster without hypervisors, for demonstrations, trials and tests.

``connect`` opens it for a service; ``read_state`` and the controls work on its state directory
with or without one.
"""

from __future__ import annotations

from collections.abc import Callable

from openrdms.adapters.simulator.clock import Clock, hurried, processes
from openrdms.adapters.simulator.cluster import Cluster
from openrdms.adapters.simulator.controls import (
    add_stranger,
    log_off,
    log_on,
    set_fault,
    set_image_fault,
)
from openrdms.adapters.simulator.host import SimulatorHost
from openrdms.adapters.simulator.truth import read_state
from openrdms.adapters.simulator.uri import parse

__all__ = [
    "Clock",
    "SimulatorHost",
    "add_stranger",
    "connect",
    "hurried",
    "log_off",
    "log_on",
    "read_state",
    "set_fault",
    "set_image_fault",
]


def connect(
    uri: str, clock: Clock | None = None, *, check: Callable[[], None] = lambda: None
) -> list[SimulatorHost]:
    """The hosts of ``simulator:///PATH?NAME=NUMBER&...``; PATH is made at first.

    InvalidParameter names the parameter that is unknown or wrong, or PATH when it is unusable.
    ``clock`` is the machine's unless given. ``check`` is asked in each transaction that changes
    something, and raises when this process may not.
    """
    cluster = Cluster(parse(uri), clock or Clock(), processes(), check)
    return [SimulatorHost(cluster, name) for name in cluster.host_names]
