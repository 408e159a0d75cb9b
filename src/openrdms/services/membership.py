"""One service among others: it lives on, sees who does not, and takes over what those had begun.

Two threads, so that nothing that is waited for holds up the beats. Where a service is alone there
is none of this (ports.MemberStore.me is "").
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from openrdms import ports
from openrdms.model import errors

BEAT_SECONDS = 0.5
"""From one beat to the next."""

RESUME_SECONDS = 5.0
"""How often jobs are looked for that nobody runs, though nobody died."""

_log = structlog.get_logger(__name__)


class Membership:
    """Of this service, in a process that ends with it: the threads are never stopped."""

    def __init__(self, members: ports.MemberStore) -> None:
        self._members = members
        self._resumed = time.monotonic()
        self._beaten = threading.Event()

    def join(self, name: str, address: str, version: str, before: str = "") -> None:
        """Be one of the services from now on; see ports.MemberStore."""
        if self._members.me:
            self._members.join(name, address, version, before)
            self._repeat("beats", self._beat, time.sleep)

    def watch(self, take_over: Callable[[str], None], resume: Callable[[], None]) -> None:
        """From now on look after the others.

        ``take_over`` hands on what a fenced one, by its id, had under way; ``resume`` begins jobs
        that nobody runs. One service at a time is at either, and again when it has failed.
        """
        if self._members.me:
            self._repeat("others", lambda: self._look(take_over, resume), self._await_beat)

    def _beat(self) -> None:
        self._members.beat()
        self._beaten.set()

    def _await_beat(self, _: float) -> None:
        self._beaten.wait(2 * BEAT_SECONDS)
        self._beaten.clear()

    def _repeat(self, name: str, work: Callable[[], None], rest: Callable[[float], None]) -> None:
        threading.Thread(target=self._run, args=(work, rest), name=name, daemon=True).start()

    def _run(self, work: Callable[[], None], rest: Callable[[float], None]) -> None:
        while True:
            begun = time.monotonic()
            try:
                work()
            except errors.RecordsUnavailable:
                pass  # the others' beats are as old as ours then, and nobody judges
            except Exception:  # noqa: BLE001  a defect may not end the beats
                _log.exception("one of several services: a round failed")
            rest(max(0.0, begun + BEAT_SECONDS - time.monotonic()))

    def _look(self, take_over: Callable[[str], None], resume: Callable[[], None]) -> None:
        fenced = self._members.fence_silent()
        for member in fenced:
            _log.warning("a service is taken for dead", member=member)
        for member in self._members.list_untaken() if fenced or self._members.sees_untaken else ():
            with self._members.exclusive("take over") as alone:
                if alone and member in self._members.list_untaken():
                    take_over(member)
                    self._members.finish_taking(member)
                    _log.info("what it had begun is taken over", member=member)
        if time.monotonic() > self._resumed + RESUME_SECONDS:
            self._resumed = time.monotonic()
            if self._members.hold_duty("jobs"):
                with self._members.exclusive("take over") as alone:
                    if alone:
                        resume()
