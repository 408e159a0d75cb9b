"""What other services that share our records change, told to whoever keeps it in memory here.

Notices of desktops are gathered for a moment, since jobs change many; everything else goes on at
once. After a time in which some may not have been heard all is taken as changed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.change import Kind

Taker = Callable[[Sequence[str]], None]
"""Told the keys of what has changed; asks the records, and raises what they raise."""

_GATHERED = 0.25
"""Seconds for which notices of ``_MANY`` are gathered."""

_MANY = frozenset({Kind.DESKTOP, Kind.COLLECTION})

_PAUSE = 1.0
"""Seconds until something is tried again that could not be read."""

_log = structlog.get_logger(__name__)


class Others:
    """Safe from any thread. Where a service is alone there is nothing to hear, and no thread."""

    def __init__(
        self,
        store: ports.RecordNotices,
        takers: Mapping[Kind, Taker],
        anew: Sequence[Callable[[], None]],
    ) -> None:
        """``anew`` are called when nobody knows what has changed."""
        self._store = store
        self._takers = takers
        self._anew = anew
        self._lock = threading.Lock()
        self._due: dict[Kind, dict[str, None]] = {}
        self._again: list[Callable[[], None]] = []
        self._at: float | None = None
        self._woken = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Hear what was changed since the records were opened, and from now on."""
        self._store.listen(self._hear, self._miss)

    def close(self) -> None:
        """Tell nobody anything more."""
        self._closed = True
        self._woken.set()

    def _hear(self, kind: Kind, keys: Sequence[str]) -> None:
        if kind not in self._takers:
            return
        with self._lock:
            self._due.setdefault(kind, {}).update(dict.fromkeys(keys))
            self._be_woken(_GATHERED if kind in _MANY else 0.0)

    def _miss(self) -> None:
        with self._lock:
            self._again = [*self._anew]
            self._be_woken(0.0)

    def _be_woken(self, seconds: float) -> None:
        at = time.monotonic() + seconds
        if self._at is None or at < self._at:
            self._at = at
            self._woken.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="changes-of-others", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._closed:
            with self._lock:
                wait = None if self._at is None else self._at - time.monotonic()
                if wait is None or wait > 0:
                    self._woken.clear()
            if wait is None or wait > 0:
                self._woken.wait(wait)
            else:
                self._take()

    def _take(self) -> None:
        with self._lock:
            due, self._due = self._due, {}
            again, self._again = self._again, []
            self._at = None
        for call in again:
            if not self._try(call):
                with self._lock:
                    self._again.append(call)
        for kind, keys in due.items():
            if not self._try(partial(self._takers[kind], list(keys))):
                with self._lock:
                    self._due.setdefault(kind, {}).update(keys)
        with self._lock:
            if self._again or self._due:
                self._be_woken(_PAUSE)

    def _try(self, call: Callable[[], None]) -> bool:
        try:
            call()
        except errors.RdmsError as error:
            _log.warning("cannot read what others have changed", reason=str(error))
            return False
        except Exception:  # noqa: BLE001  whatever one does, the others are told
            _log.exception("defect")
        return True
