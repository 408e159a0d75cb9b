"""Pools: desktops that nobody uses are kept fresh, running or saved, as their collection says.

Changes of uses, settings and hosts wake one thread, which lets the rules decide
(``model.pool_policy``) and gives what is decided to threads of the hosts. It keeps what is on
record of the uses in memory, and reads anew what it was told has changed. When nothing changes it
sleeps until the rules say that something will be due.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.change import Kind
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import HostSettings, VmEvent, VmEventKind
from openrdms.model.pool_policy import (
    Breaker,
    Decision,
    HostRoom,
    Plan,
    Situation,
    Step,
    can_be_spare,
    decide,
    share_idle,
    use_after,
)
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import Absence, HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.pool_rules import find_rules
from openrdms.services.preparation import Attempt, Preparation
from openrdms.services.provisioning.step_times import StepTimes

MOST_PREPARED = 100
"""At a time on one host, unless its concurrency factor says less (RDMS: 1 to 100)."""

_REST = 9
"""Times the processor's time that deciding has taken: so long it rests, at most a second, and
decides on what changes in the meantime together. By the clock it would rest longest when there is
most to do, and then begin most at a time.
"""

_REST_AT_WORK = 4
"""The same when there was something to decide: longer rests would let preparations begin hundreds
at a time, and whoever comes at such a moment would wait for them.
"""

_GUEST_THREADS = 32
_PAUSE = 5.0
"""Seconds until the records are tried again that could not be read or written."""

_PREPARATION = "preparation"
"""Kind of step time: all of it, until the desktop is ready."""

_SAVE_SECONDS = 60.0
"""Between two times that these are put on record."""

_log = structlog.get_logger(__name__)


@dataclass
class _Pool:
    """What is known of one collection. ``hosts`` are those of its desktops, ``shares`` what it has
    of their idle counts, ``pooled`` None when there is no such collection any more.
    """

    alias: str
    uses: dict[str, DesktopUse] = field(default_factory=dict)
    breaker: Breaker = field(default_factory=Breaker)
    waiting: int = 0
    due: datetime | None = None
    pooled: bool | None = True
    hosts: set[str] = field(default_factory=set)
    shares: dict[str, int] = field(default_factory=dict)


class Pools:
    """Safe from any thread. Names and aliases are compared ignoring case."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        health: HostHealth,
        uses: DesktopUses,
        preparation: Preparation,
        clock: ports.Clock,
        holds_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        """``holds_duty``: whether this service is the one that decides; others do as users ask."""
        self._store = store
        self._holds_duty = holds_duty
        self._decides = False
        self._hosts = hosts
        self._health = health
        self._uses = uses
        self._preparation = preparation
        self._clock = clock
        self._times = StepTimes(store)
        self._save_at = 0.0
        self._lock = threading.Lock()
        self._pools: dict[str, _Pool] = {}
        self._homes: dict[str, str] = {}
        self._changed: set[str] = set()
        self._is_read = False
        self._stirred: set[str] = set()
        self._settings: dict[str, HostSettings] = {}
        self._unended: list[tuple[Attempt, Exception]] = []
        self._wake = threading.Event()
        self._closed = False
        self._ends = ExitStack()
        self._host_threads = {
            host.name: ThreadPoolExecutor(4 * host.slots, f"pool-{host.name}")
            for host in hosts.all()
        }
        self._is_at_work = False
        self._guest_threads = ThreadPoolExecutor(_GUEST_THREADS, "pool-guests")
        self._thread = threading.Thread(target=self._run, name="pools", daemon=True)

    def start(self) -> None:
        """Begin to keep desktops ready. Call it after jobs have been resumed."""
        self._ends.callback(self._uses.subscribe(self._note_use, lambda _name: False))
        self._ends.callback(self._hosts.subscribe(self._hear))
        self._ends.callback(self._health.subscribe(self._note_host))
        self._times.load()
        self._decides = self._holds_duty()
        self._is_read = not self._decides
        for host in self._hosts.all():
            self._settings[host.name] = self._store.find_host_settings(host.name)
        self.wake()
        self._thread.start()

    def take_duty(self) -> None:
        """Another service has died: perhaps it was the one that kept desktops ready."""
        if self._decides or not self._holds_duty():
            return
        self._decides = True
        try:
            self.hear()
        except BaseException:
            self._decides = False
            raise

    def hear(self, names: Sequence[str] | None = None) -> None:
        """Other services may have changed these desktops, or any; some may be no more."""
        if not self._decides:
            return
        if names is None:
            names = [use.name for use in self._store.list_uses()]
            names += self._homes
        with self._lock:
            self._changed.update(name.casefold() for name in names)
        self._wake.set()

    def close(self) -> None:
        """Begin nothing more; returns when nothing of it is under way."""
        self._closed = True
        self._ends.close()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for executor in (*self._host_threads.values(), self._guest_threads):
            executor.shutdown(wait=True, cancel_futures=True)

    def wake(self, collection: str | None = None) -> None:
        """Decide anew on a collection, or on all, since something beside uses has changed."""
        with self._lock:
            self._stirred.update([collection.casefold()] if collection else self._pools)
        self._wake.set()

    def note_settings(self, host: str, settings: HostSettings) -> None:
        """An administrator has changed what holds for a host."""
        self._settings[host] = settings
        self.wake()

    def note_collection(self, collection: str) -> None:
        """Settings or members of a collection have changed."""
        names = {use.name.casefold() for use in self._store.list_uses(collection)}
        with self._lock:
            self._changed |= names | self._pool(collection).uses.keys()
        self.wake(collection)

    def set_waiting(self, collection: str, count: int) -> None:
        """So many users wait for a desktop of the collection now."""
        with self._lock:
            self._pool(collection).waiting = count
        self.wake(collection)

    def prepare(self, use: DesktopUse) -> None:
        """Make an UNREADY desktop fresh, whatever its pool is up to; return when it has started.

        InvalidOperation when somebody else has got it; RdmsError when its host refuses.
        """
        mine = self._uses.turn(use, Use.PREPARING, reason="") if not use.claim else None
        if mine is None:
            raise errors.InvalidOperation(f"desktop {use.name} is in work")
        attempt = self._preparation.enter(mine, urgent=True)
        try:
            self._preparation.begin(attempt)
        except Exception as error:
            self._end(attempt, error)
            raise
        self._wake.set()

    def count_spares(self, collection: str) -> Mapping[str, tuple[int, int]]:
        """READY desktops by host: how many run, and how many are saved."""
        spares: dict[str, tuple[int, int]] = {}
        for use in self._store.list_uses(collection, use=Use.READY):
            running, saved = spares.get(use.host, (0, 0))
            spares[use.host] = (running + (not use.saved), saved + use.saved)
        return spares

    def stopped(self, collection: str) -> str:
        """Why the pool prepares nothing now, "" while it does."""
        pool = self._pools.get(collection.casefold())
        return pool.breaker.reason if pool and pool.breaker.opened else ""

    def breaker(self, collection: str) -> Breaker:
        """How preparations of the collection went lately."""
        pool = self._pools.get(collection.casefold())
        return pool.breaker if pool else Breaker()

    def waiting(self, collection: str) -> int:
        """How many users wait for a desktop, as last told."""
        pool = self._pools.get(collection.casefold())
        return pool.waiting if pool else 0

    def seconds(self, collection: str) -> float | None:
        """What a preparation usually takes, on the hosts of its desktops; None before the first.

        A service that does not decide knows of none what others had measured since it began.
        """
        pool = self._pools.get(collection.casefold())
        hosts = (pool and pool.hosts) or {host.name for host in self._hosts.all()}
        each = [self._times.estimate(host, _PREPARATION) for host in hosts]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) / len(known) if known else None

    def reset_breaker(self, collection: str) -> None:
        """Let the pool go on; an administrator has mended what failed."""
        self.hear_reset([collection])
        self._store.tell_others(Kind.POOL, [collection])

    def hear_reset(self, collections: Iterable[str]) -> None:
        """An administrator has said so, perhaps at another service."""
        for collection in collections:
            with self._lock:
                self._pool(collection).breaker = Breaker()
            self.wake(collection)

    def _pool(self, collection: str) -> _Pool:
        return self._pools.setdefault(collection.casefold(), _Pool(collection))

    def _enter(self, use: DesktopUse) -> None:
        """Keep a use in memory, in the pool that it belongs to now."""
        key, home = use.name.casefold(), use.collection.casefold()
        before = self._homes.get(key)
        if before is not None and before != home:
            self._pools[before].uses.pop(key, None)
        with self._lock:
            self._homes[key] = home
            self._pool(use.collection).uses[key] = use
            self._stirred.add(home)

    def _drop(self, key: str) -> None:
        home = self._homes.pop(key, None)
        if home is not None:
            self._pools[home].uses.pop(key, None)

    def _note_use(self, use: DesktopUse) -> None:
        if not self._decides:
            return
        with self._lock:
            self._changed.add(use.name.casefold())
        self._wake.set()

    def _note_host(self, host: str, absence: Absence | None) -> None:
        if absence is None:
            self._preparation.note_return(host)
        self.wake()

    def _hear(self, event: VmEvent) -> None:
        if event.kind is VmEventKind.AGENT_CONNECTED:
            attempt = self._preparation.hear(event.vm)
            if attempt:
                self._submit(self._guest_threads, self._finish, attempt)

    def _run(self) -> None:
        while not self._closed:
            began = time.thread_time()
            self._is_at_work = False
            try:
                self._end_again()
                self._wake.clear()
                self._refresh()
                wait = self._decide_all()
            except Exception as error:  # noqa: BLE001  whatever went wrong, desktops are waited for
                _log.warning("cannot look after pools", reason=repr(error))
                wait = _PAUSE
                with self._lock:
                    self._stirred.update(self._pools)
            rest = _REST_AT_WORK if self._is_at_work else _REST
            if not self._closed:
                time.sleep(min(rest * (time.thread_time() - began), 1.0))
                self._wake.wait(wait)

    def _end_again(self) -> None:
        """Let go of what could not be let go of when records could not be written."""
        with self._lock:
            unended, self._unended = self._unended, []
        for attempt, error in unended:
            self._end(attempt, error)

    def _refresh(self) -> None:
        """Read what was told to have changed: what was told late may be so no more. At first that
        is all there is, which takes seconds of many desktops.
        """
        if not self._is_read:
            for use in self._store.list_uses():
                self._enter(use)
            self._is_read = True
        with self._lock:
            changed, self._changed = self._changed, set()
        if not changed:
            return
        try:
            found = {use.name.casefold(): use for use in self._store.list_uses(names=changed)}
        except BaseException:
            with self._lock:
                self._changed |= changed
            raise
        for key in changed:
            if key in found:
                self._enter(found[key])
            else:
                self._drop(key)

    def _decide_all(self) -> float | None:
        """Decide where something has changed or is due; returns the seconds until more is."""
        now = self._clock()
        with self._lock:
            stirred, self._stirred = self._stirred, set()
            pools = [
                pool
                for key, pool in self._pools.items()
                if self._decides and (key in stirred or (pool.due is not None and pool.due <= now))
            ]
        for pool in pools:
            plan = self._decide(pool, now)
            self._is_at_work |= bool(plan.decisions)
            self._carry_out(pool, plan)
        attempts, ask_at = self._preparation.due(time.monotonic())
        for attempt in attempts:
            self._submit(self._guest_threads, self._finish, attempt)
        dues = [pool.due for pool in list(self._pools.values()) if pool.due is not None]
        waits = [(due - now).total_seconds() for due in dues]
        if ask_at is not None:
            waits.append(ask_at - time.monotonic())
        if self._unended:
            waits.append(_PAUSE)
        return max(0.0, min(min(waits), threading.TIMEOUT_MAX)) if waits else None

    def _decide(self, pool: _Pool, now: datetime) -> Plan:
        rules = find_rules(self._store, pool.alias)
        if rules is None:
            pool.due = pool.pooled = None
            return Plan((), None)
        pool.pooled = rules.pooled
        pool.hosts = {use.host for use in pool.uses.values()}
        preparing = sum(use.use is Use.PREPARING for use in pool.uses.values())
        plan = decide(
            Situation(
                uses=list(pool.uses.values()),
                rules=rules,
                hosts=self._find_rooms(pool),
                now=now,
                waiting=pool.waiting,
                allowance=pool.breaker.allowance(now, preparing),
            )
        )
        dues = [due for due in (plan.due, pool.breaker.due) if due is not None and due > now]
        pool.due = min(dues, default=None)
        return plan

    def _find_rooms(self, pool: _Pool) -> dict[str, HostRoom]:
        """Hosts that are there, by the names that records have for them."""
        preparing: Counter[str] = Counter()
        names = set()
        for each in list(self._pools.values()):
            for use in each.uses.values():
                names.add(use.host)
                preparing[use.host] += use.use is Use.PREPARING
        rooms, counts = {}, {}
        for name in names:
            host = self._hosts.find(name)
            if host and not self._health.is_away(host.name):
                settings = self._settings.get(host.name, HostSettings())
                most = settings.concurrency or MOST_PREPARED
                left = HostRoom(None, most - preparing[name])
                rooms[name] = HostRoom(0, 0) if settings.drain else left
                if settings.idle_count is not None and not settings.drain:
                    counts[name] = settings.idle_count
        for name, share in self._share_idle(counts, pool).items():
            rooms[name] = HostRoom(share, rooms[name].room)
        return rooms

    def _share_idle(self, counts: Mapping[str, int], pool: _Pool) -> Mapping[str, int]:
        """The pool's shares of hosts' idle counts. Others of whom they change now decide anew."""
        if not counts:
            return {}
        able = {
            key: Counter(
                use.host
                for use in each.uses.values()
                if use.host in counts and can_be_spare(use, pooled=bool(each.pooled))
            )
            for key, each in list(self._pools.items())
            if each.pooled is not None
        }
        shares: dict[str, dict[str, int]] = {key: {} for key in able}
        for host, count in counts.items():
            spares = {key: of_pool[host] for key, of_pool in able.items()}
            for key, share in share_idle(count, spares).items():
                shares[key][host] = share
        for key, now in shares.items():
            if self._pools[key].shares != now:
                self._pools[key].shares = now
                if self._pools[key] is not pool:
                    self.wake(key)
        return pool.shares

    def _carry_out(self, pool: _Pool, plan: Plan) -> None:
        """Change uses where the desktops are still as they were, then do what that stands for."""
        if not plan.decisions:
            return
        decided = {one.use.name.casefold(): one for one in plan.decisions}
        now = self._clock()

        def change(use: DesktopUse) -> DesktopUse | None:
            decision = decided[use.name.casefold()]
            if use != decision.use:
                return None
            if decision.step is Step.EXPIRE:
                return use.becoming(Use.UNREADY, now, saved=False)
            if decision.step in (Step.TAKE_BACK, Step.PUT_APART):
                after, reason = use_after(use)
                return use.becoming(after, now, reason=reason)
            return use.becoming(Use.PREPARING, now, reason="")

        changed = self._uses.change(decided, change)
        for use in changed:
            self._enter(use)
            self._begin(pool, decided[use.name.casefold()], use)
        with self._lock:  # of the others we know less than we thought
            self._changed |= decided.keys() - {use.name.casefold() for use in changed}
        if self._changed:
            self._wake.set()

    def _begin(self, pool: _Pool, decision: Decision, use: DesktopUse) -> None:
        steps: dict[Step, Callable[[Attempt], None]] = {
            Step.PREPARE: self._preparation.begin,
            Step.LEAVE_OFF: self._preparation.leave_off,
            Step.SAVE: self._preparation.save,
            Step.RESUME: self._preparation.resume,
        }
        step = steps.get(decision.step)
        host = self._hosts.find(use.host)
        if step and host:
            attempt = self._preparation.enter(use, urgent=pool.waiting > 0)
            self._submit(self._host_threads[host.name], self._work, attempt, step)

    def _submit(
        self, executor: ThreadPoolExecutor, function: Callable[..., None], *args: object
    ) -> None:
        with suppress(RuntimeError):  # closed
            executor.submit(function, *args)

    def _work(self, attempt: Attempt, step: Callable[[Attempt], None]) -> None:
        try:
            step(attempt)
        except Exception as error:  # noqa: BLE001  no defect may keep a desktop in our hands
            self._end(attempt, error)
        else:
            self._wake.set()  # when its guest is to be asked may come before all else

    def _finish(self, attempt: Attempt) -> None:
        try:
            done = self._preparation.finish(attempt)
        except errors.HostUnavailable as error:
            self._note_away(attempt, error)
            if not self._preparation.put_off(attempt):
                self._end(attempt, error)
                return
            done = False
        except Exception as error:  # noqa: BLE001  no defect may keep a desktop in our hands
            self._end(attempt, error)
            return
        if done:
            self._note_success(attempt)
        else:
            self._wake.set()  # there is a time again at which it is asked

    def _note_away(self, attempt: Attempt, error: errors.HostUnavailable) -> None:
        with suppress(errors.NotFound):  # it was given up
            self._health.note_failure(attempt.use.host, error)

    def _note_success(self, attempt: Attempt) -> None:
        took = time.monotonic() - attempt.begun
        with self._lock:
            pool = self._pool(attempt.use.collection)
            pool.breaker = Breaker()
        self._times.measure(attempt.use.host, _PREPARATION, took)
        if time.monotonic() >= self._save_at:
            self._save_at = time.monotonic() + _SAVE_SECONDS
            with suppress(errors.RdmsError):  # they are measured again
                self._times.save()

    def _end(self, attempt: Attempt, error: Exception) -> None:
        if isinstance(error, errors.HostUnavailable):
            self._note_away(attempt, error)
        try:
            words = self._preparation.end(attempt, error)
        except errors.RdmsError as trouble:  # else it would be in our hands for ever
            _log.warning("cannot let go", desktop=attempt.use.name, reason=str(trouble))
            with self._lock:
                self._unended.append((attempt, error))
            self._wake.set()
            return
        if not words:
            return
        with self._lock:
            pool = self._pool(attempt.use.collection)
            was_open = pool.breaker.opened
            pool.breaker = pool.breaker.fail(self._clock(), f"{attempt.use.name}: {words}")
        if pool.breaker.opened and not was_open:
            _log.warning("pool stopped", collection=pool.alias, reason=pool.breaker.reason)
        self.wake(attempt.use.collection)
