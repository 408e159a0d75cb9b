"""Who begins when on a host."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from openrdms.services.provisioning.lines import in_lines
from openrdms.services.provisioning.waits import Waits
from openrdms.services.provisioning.work import Work


@dataclass
class ShutWork:
    """A job that was cancelled before the first of its desktops began."""

    is_shut: bool = True
    job: Any = field(default_factory=lambda: SimpleNamespace(guid="{1}"))
    tools: Any = field(default_factory=lambda: SimpleNamespace(waits=Waits()))


def test_a_job_that_is_shut_before_it_began_ends() -> None:
    begun: list[int] = []

    async def act(ordinal: int) -> None:
        begun.append(ordinal)

    rows = [SimpleNamespace(host="h1", ordinal=ordinal) for ordinal in range(3)]
    work = cast("Work", ShutWork())
    asyncio.run(asyncio.wait_for(in_lines(work, cast("Any", rows), act), 10))
    assert begun == []
