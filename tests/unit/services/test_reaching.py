"""Starting a desktop for who waits for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from fakes.brokering_rig import BrokeringRig, open_brokering_rig
from fakes.small_deployment import HOST1
from openrdms.adapters import simulator
from openrdms.jobs.tokens import Kind
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse
from openrdms.model.reason import ReasonCode
from openrdms.services.provisioning.step_times import BOOT, StepTimes
from openrdms.services.reaching import Reaching


class AtOnce(Executor):
    """Done before whoever submits it knows of it, as on a host that takes no time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BrokeringRig]:
    with open_brokering_rig(tmp_path, "start_ms=1", "boot_ms=1") as rig:
        rig.add_collection("pool", CollectionType.POOLED)
        yield rig


def test_a_start_that_is_done_at_once(rig: BrokeringRig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.add_ready("vd-1")
    rig.place.hosts.get(HOST1).save("vd-1")
    heard: list[DesktopUse] = []
    monkeypatch.setattr("openrdms.services.reaching.ThreadPoolExecutor", lambda *_, **__: AtOnce())
    basics = (rig.place.hosts, rig.health, rig.tokens, rig.clock)
    reaching = Reaching(*basics, heard.append, rig.first_start.identify)
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(reaching.reach(rig.use("vd-1"))), daemon=True
    )
    asking.start()
    asking.join(30)
    assert [wait.code for wait in answers] == [ReasonCode.DESKTOP_STARTING]
    assert [use.name for use in heard][:1] == ["vd-1"]


def test_who_waits_is_told_since_when_and_for_how_long(rig: BrokeringRig) -> None:
    """However often he asks, by what such steps have taken there lately."""
    rig.add_ready("vd-1")
    rig.place.hosts.get(HOST1).destroy("vd-1")
    times = StepTimes(rig.place.store)
    for kind, seconds in ((Kind.START, 5.0), (BOOT, 600.0)):
        times.measure(HOST1, kind, seconds)
    basics = (rig.place.hosts, rig.health, rig.tokens, rig.clock)
    reaching = Reaching(*basics, lambda _use: None, rig.first_start.identify, times)
    simulator.set_fault(rig.place.path, HOST1, "vd-1", "silent")
    first = reaching.reach(rig.use("vd-1"))
    assert first and first.code is ReasonCode.DESKTOP_STARTING
    assert first.seconds and 500 < first.seconds <= 605
    later = first
    for _ in range(6000):
        asked = reaching.reach(rig.use("vd-1"))
        assert asked and asked.seconds is not None and later.seconds is not None
        assert asked.since == first.since and asked.seconds <= later.seconds
        later = asked
        if asked.code is ReasonCode.GUEST_BOOTING:
            break
        time.sleep(0.01)
    assert later.code is ReasonCode.GUEST_BOOTING
    assert times.estimate(HOST1, Kind.START) != 5.0  # this one was measured, too
