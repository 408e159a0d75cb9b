"""An embedded libvirt among several services: its host is one process's, and all must reach all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from openrdms import config, ports
from openrdms.model import errors

_LOCK = "embedded libvirt"

_SILENT = timedelta(seconds=3)
"""One whose last beat is so much older than ours counts no more: our own life before, killed."""

_PATIENCE_SECONDS = 10.0
"""Services that start at the same time have the lock for a moment each."""


@contextmanager
def hold_hosts(members: ports.MemberStore, hypervisors: Sequence[str]) -> Iterator[None]:
    """For as long as a service that has joined lives.

    InvalidOperation for one that embeds libvirt beside others, and for others beside it.
    """
    if any(uri.partition("?")[0] == config.EMBEDDED_LIBVIRT for uri in hypervisors):
        with members.exclusive(_LOCK) as is_ours:
            if not (is_ours and _wait(lambda: not _list_others(members))):
                raise errors.InvalidOperation(
                    "--hypervisor: an embedded libvirt is one service's alone, and others live: "
                    f"{', '.join(_list_others(members))}"
                )
            yield
    else:
        if not _wait(lambda: _is_free(members)):
            raise errors.InvalidOperation(
                "--database: a service that embeds libvirt has it, and no other can reach its host"
            )
        yield


def _is_free(members: ports.MemberStore) -> bool:
    with members.exclusive(_LOCK) as is_free:
        return is_free


def _list_others(members: ports.MemberStore) -> list[str]:
    live = {member.id: member for member in members.list_live()}
    own = live.pop(members.me, None)
    return [one.name for one in live.values() if own and own.beat - one.beat < _SILENT]


def _wait(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (is_so := condition()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return is_so
