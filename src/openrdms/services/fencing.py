"""What acts on hosts says for which job it does, so that it is asked whether it still may.

Hosts call ``Fence.check`` right before each call that changes something, in the thread that makes
it: what was asked of a service that has lost its job in the meantime is then not done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from openrdms import ports

_JOB = ContextVar("job", default="")


@contextmanager
def acting_for(job: str) -> Iterator[None]:
    """What this thread does on hosts in the block is part of that job."""
    token = _JOB.set(job)
    try:
        yield
    finally:
        _JOB.reset(token)


class Fence:
    """Of one service."""

    def __init__(self, members: ports.MemberStore) -> None:
        self._members = members

    def check(self) -> None:
        """Return when this thread may change something on a host. Fenced, RecordsUnavailable."""
        self._members.check(_JOB.get())
