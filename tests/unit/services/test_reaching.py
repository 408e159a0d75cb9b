"""Starting a desktop for who waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from fakes.brokering_rig import BrokeringRig, open_brokering_rig
from fakes.small_deployment import HOST1
from openrdms.model.collection import CollectionType
from openrdms.model.desktop_use import DesktopUse
from openrdms.model.reason import ReasonCode
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
    reaching = Reaching(rig.place.hosts, rig.health, rig.tokens, rig.clock, heard.append)
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(reaching.reach(rig.use("vd-1"))), daemon=True
    )
    asking.start()
    asking.join(30)
    assert [wait.code for wait in answers] == [ReasonCode.DESKTOP_STARTING]
    assert [use.name for use in heard][:1] == ["vd-1"]
