"""Who begins when on a host."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from openrdms.services.provisioning.lines import Act, in_lines
from openrdms.services.provisioning.waits import Waits
from openrdms.services.provisioning.work import Work


def make_tools() -> Any:
    tokens = SimpleNamespace(load=lambda _host: SimpleNamespace(limit=2))
    return SimpleNamespace(waits=Waits(), tokens=tokens, factor=lambda _host: 2)


@dataclass
class FakeWork:
    """A job on hosts that do two calls at a time."""

    is_shut: bool = False
    job: Any = field(default_factory=lambda: SimpleNamespace(guid="{1}"))
    tools: Any = field(default_factory=make_tools)
    made: dict[int, Any] = field(default_factory=dict)


ROWS: Any = [SimpleNamespace(host="h1", ordinal=ordinal) for ordinal in range(3)]


def carry(work: FakeWork, act: Act) -> None:
    asyncio.run(asyncio.wait_for(in_lines(cast("Work", work), ROWS, act), 10))


def test_a_job_that_is_shut_before_it_began_ends() -> None:
    begun: list[int] = []

    async def act(ordinal: int) -> None:
        begun.append(ordinal)

    carry(FakeWork(is_shut=True), act)
    assert begun == []


def test_a_desktop_whose_task_is_cancelled_is_an_error_once_the_others_are_done() -> None:
    done: list[int] = []

    async def act(ordinal: int) -> None:
        if ordinal == 0:
            raise asyncio.CancelledError
        await asyncio.sleep(0)
        done.append(ordinal)

    with pytest.raises(RuntimeError, match="cancelled"):
        carry(FakeWork(), act)
    assert done == [1, 2]
