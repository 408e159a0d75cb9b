"""What is told of the cluster, and how much of it at a time."""

from __future__ import annotations

import threading
import time

from openrdms.adapters.simulator.clock import Clock
from openrdms.adapters.simulator.effects import News
from openrdms.adapters.simulator.events import Announcer
from openrdms.model.host import VmEvent, VmEventKind

HOST = "host1.sim.local"


def test_what_is_due_together_is_looked_at_together_and_told_once() -> None:
    looks: list[int] = []
    told: list[str] = []
    over = threading.Event()

    def sift(news: News) -> News:
        looks.append(len(news))
        return [(due, event) for due, event in news if event.vm != "gone"]

    def hear(event: VmEvent) -> None:
        told.append(event.vm)
        if event.vm == "vd-249":
            over.set()

    announcer = Announcer(Clock(), sift, list)
    announcer.subscribe(HOST, hear)
    names = ["gone", *(f"vd-{n}" for n in range(250))]
    due = time.time()
    announcer.announce_all([(due, VmEvent(VmEventKind.STARTED, HOST, name)) for name in names])
    assert over.wait(60)
    announcer.close()
    assert told == names[1:]
    assert [look for look in looks if look] == [100, 100, 51]
