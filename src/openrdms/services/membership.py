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
"""From one beat, or look at the others, to the next."""

RESUME_SECONDS = 5.0
"""How often jobs are looked for that nobody runs, though nobody died."""

_log = structlog.get_logger(__name__)


class Membership:
    """``take_over`` hands on what a fenced member, by its id, had under way; ``resume`` begins
    jobs that nobody runs. Both are safe to repeat, and each is called by one service at a time.
    """

    def __init__(
        self,
        members: ports.MemberStore,
        take_over: Callable[[str], None],
        resume: Callable[[], None],
    ) -> None:
        self._members = members
        self._take_over = take_over
        self._resume = resume
        self._resumed = time.monotonic()
        self._closed = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
            for name, work in (("beats", members.beat), ("others", self._look))
        ]

    def start(self) -> None:
        """Begin, after ``join`` and when this service can take over."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Beat no more; returns when nothing is being taken over."""
        self._closed.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join()

    def _run(self, work: Callable[[], None]) -> None:
        while not self._closed.is_set():
            begun = time.monotonic()
            try:
                work()
            except errors.RecordsUnavailable:
                pass  # the others' beats are as old as ours then, and nobody judges
            except Exception:  # noqa: BLE001  a defect may not end the beats
                _log.exception("one of several services: a round failed")
            self._closed.wait(max(0.0, begun + BEAT_SECONDS - time.monotonic()))

    def _look(self) -> None:
        for member in self._members.fence_silent():
            _log.warning("a service is taken for dead", member=member)
        for member in self._members.list_untaken():
            with self._members.exclusive("take over") as alone:
                if alone and member in self._members.list_untaken():
                    self._take_over(member)
                    self._members.finish_taking(member)
                    _log.info("its work is taken over", member=member)
        if time.monotonic() > self._resumed + RESUME_SECONDS:
            self._resumed = time.monotonic()
            with self._members.exclusive("resume") as alone:
                if alone:
                    self._resume()
