"""The least a job can take on a simulated cluster: what its slots and latencies leave no way round.

Desktops are spread evenly over the hosts, so the fullest host decides. Its slots do nothing but
this job's clones, starts or destroys, and the service itself takes no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import ceil

from openrdms.adapters.simulator.uri import Settings
from openrdms.model.errors import InvalidParameter

_AGENT_CALLS = 2
"""The ping that finds the agent, and setting the identity."""


class Work(Enum):
    """What is done to each desktop."""

    CREATE = "create"
    CREATE_OFF = "create, left off"
    DELETE = "delete"


@dataclass(frozen=True)
class Bound:
    """Seconds: ``on_slots`` until the fullest host's slots have done all, ``after`` for what the
    last desktop takes then without a slot.
    """

    desktops_of_a_host: int
    on_slots: float
    after: float

    @property
    def seconds(self) -> float:
        """The critical path of the job."""
        return self.on_slots + self.after


def compute(count: int, settings: Settings, work: Work) -> Bound:
    """The bound for ``count`` desktops; no schedule ends sooner. InvalidParameter for none."""
    if count < 1:
        raise InvalidParameter("count", f"{count} is less than 1")
    desktops = ceil(count / settings.hosts)
    steps = [milliseconds / 1000 for milliseconds in _on_slots(settings, work)]
    after = settings.boot_ms + _AGENT_CALLS * settings.agent_ms if work is Work.CREATE else 0
    return Bound(desktops, _least(desktops, settings.slots, steps), after / 1000)


def _on_slots(settings: Settings, work: Work) -> list[int]:
    """Milliseconds of each step of one desktop that takes a slot, in order."""
    if work is Work.DELETE:
        return [settings.destroy_ms]
    return [settings.clone_ms, *([settings.start_ms] if work is Work.CREATE else [])]


def _least(desktops: int, slots: int, steps: list[float]) -> float:
    """Seconds until the last step of the last desktop has ended.

    It cannot be sooner than one desktop takes; nor than the work, shared out evenly; nor than
    the slot that gets most steps of one kind needs for them.
    """
    whole = sum(steps)
    rounds = ceil(desktops / slots)
    return max(whole, desktops * whole / slots, *(rounds * step for step in steps))
