"""Who is logged on where: heard from hosts that tell, asked of the guests of the others.

What is seen of a desktop changes its use, unless that has changed while somebody looked. A guest
that does not answer, and a host that is away, are no change.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmEvent, VmEventKind, VmState
from openrdms.model.reason import ReasonCode, render_reason
from openrdms.model.sight import Sight, conclude
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.host_health import Absence, HostHealth
from openrdms.services.hosts import Hosts
from openrdms.services.pool_rules import find_rules

PERIOD = 5.0
"""Seconds between two questions to a guest of a host that does not tell."""

GUEST_SECONDS = 2.0
"""What a guest gets to answer."""

_CONFIRM_SECONDS = 8.0
"""What the guest of a spare gets that is being handed out: on a busy host making another one fresh
takes far longer than its user waits here.
"""

_THREADS = 32
_THREADS_FOR_SILENT = 8
"""Guests that did not answer the last time have threads of their own: they hold up nobody."""

_WATCHED = (Use.TAKEN, Use.READY, Use.UNREADY)
"""The others are in the hands of a pool or a job, which looks itself when it is done."""

_HEARD = frozenset(
    {
        VmEventKind.LOGGED_ON,
        VmEventKind.LOGGED_OFF,
        VmEventKind.STOPPED,
        VmEventKind.AGENT_CONNECTED,
    }
)

_log = structlog.get_logger(__name__)


class SessionWatch:
    """Safe from any thread. Names are compared ignoring case."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        health: HostHealth,
        uses: DesktopUses,
        clock: ports.Clock,
        period: float = PERIOD,
        holds_duty: Callable[[], bool] = lambda: True,
    ) -> None:
        """``period`` in seconds. ``holds_duty``: whether this service is the one that watches;
        others look at spares that they are to give, once at their start.
        """
        self._holds_duty = holds_duty
        self._watches = False
        self._store = store
        self._hosts = hosts
        self._health = health
        self._uses = uses
        self._clock = clock
        self._period = period
        self._lock = threading.Lock()
        self._due: dict[str, set[VmEventKind]] = {}
        self._busy: set[str] = set()
        self._silent: set[str] = set()
        self._later: set[str] = set()
        self._stopped: set[str] = set()
        self._unchecked: dict[str, set[str]] = {}
        self._is_begun = False
        self._all_due = True
        self._returned: set[str] = set()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._ends = ExitStack()
        self._poll = threading.Thread(target=self._ask_regularly, name="session-poll", daemon=True)
        self._askers = ThreadPoolExecutor(_THREADS, "session-watch")
        self._patient = ThreadPoolExecutor(_THREADS_FOR_SILENT, "silent-guests")

    def take_duty(self) -> None:
        """Another service has died, perhaps the one that watched: look for what nobody saw."""
        if not self._watches and self._holds_duty():
            with self._lock:
                self._watches = self._all_due = True
                self._is_begun = False
            self._wake.set()

    def start(self) -> None:
        """Begin; what changed while nobody watched is looked for first, in the background."""
        self._watches = self._holds_duty()
        self._ends.callback(self._uses.subscribe(self._note_use, self._is_noted))
        self._ends.callback(self._hosts.subscribe(self._hear))
        self._ends.callback(self._health.subscribe(self._note_host))
        self._poll.start()

    def close(self) -> None:
        """Hear and ask nothing more."""
        self._closed.set()
        self._wake.set()
        self._ends.close()
        if self._poll.is_alive():
            self._poll.join()
        for executor in (self._askers, self._patient):
            executor.shutdown(wait=True, cancel_futures=True)

    def note_collection(self, collection: str) -> None:
        """Settings or members of a collection have changed: some may be whoever's is on them."""
        for use in self._store.list_uses(collection, use=Use.UNREADY):
            self._look_soon(use.name)

    def is_checked(self, collection: str) -> bool:
        """Whether its READY desktops were looked at since the start, or since another service has
        died: none may be given before.
        """
        return self._is_begun and not self._unchecked.get(collection.casefold())

    def confirm(self, use: DesktopUse) -> bool:
        """Whether nobody was on a running desktop since it was made ready, asked when it is taken.

        Hosts that tell are not asked. When False the desktop is what was found instead.
        """
        host = self._hosts.find(use.host)
        if host is None:
            self._set_apart(use)
            return False
        return host.tells_sessions or self._has_mark(host, use) or not self._reject(host, use)

    def _has_mark(self, host: ports.Host, use: DesktopUse) -> bool:
        try:
            return bool(use.mark) and host.guest(use.name).logon_mark(_CONFIRM_SECONDS) == use.mark
        except errors.RdmsError:
            return False

    def _reject(self, host: ports.Host, use: DesktopUse) -> bool:
        """Take a desktop on which somebody is or was from who has just got it; False if it is fine.

        Where desktops go from one user to the next as they are, only who is on it now counts.
        """
        try:
            user = _who(host, use.name)
            if not user and not use.resets:
                return False
        except errors.RdmsError:
            user = ""
        fields: dict[str, object] = {"use": Use.UNREADY, "saved": False}
        if user:
            fields |= {"use": Use.TAKEN, "holder": user, "asked": False, "seen": True}
            fields |= {"turn": use.turn + 1, "since": self._clock()}
        self._apply(host, use, fields)
        return True

    def _hear(self, event: VmEvent) -> None:
        key = event.vm.casefold()
        if event.kind is VmEventKind.STOPPED:
            self._stopped.add(key)
        elif event.kind is VmEventKind.AGENT_CONNECTED:
            self._stopped.discard(key)
        # in the hands of a job or a pool all that will count is who has logged on meanwhile
        counts = event.kind is VmEventKind.LOGGED_ON or not self._uses.is_in_work(key)
        if event.kind in _HEARD and self._watches and counts:
            self._look_soon(event.vm, event.kind)

    def _note_use(self, use: DesktopUse) -> None:
        """What was heard of a desktop in somebody's hands counts when these let go of it."""
        key = use.name.casefold()
        stopped = use.use is Use.READY and not use.saved and key in self._stopped
        if use.use in _WATCHED and (stopped or key in self._later):
            self._later.discard(key)
            self._look_soon(use.name)

    def _is_noted(self, name: str) -> bool:
        return self._watches and (name in self._stopped or name in self._later)

    def _note_host(self, host: str, absence: Absence | None) -> None:
        """Those that come back together are looked at together."""
        if absence is None:
            with self._lock:
                self._returned.add(host)
            self._wake.set()

    def _check(self, uses: Iterable[DesktopUse]) -> None:
        """Look at them; until then none of their READY ones is given to anybody."""
        looked_at = list(uses)
        with self._lock:
            for use in looked_at:
                if use.use is Use.READY and not use.saved:
                    names = self._unchecked.setdefault(use.collection.casefold(), set())
                    names.add(use.name.casefold())
        for use in looked_at:
            self._look_soon(use.name)

    def _ask_regularly(self) -> None:
        ask_at = 0.0
        while not self._closed.is_set():
            try:
                self._look_anew()
                if time.monotonic() >= ask_at:
                    for name in self._to_ask():
                        self._look_soon(name)
                    ask_at = time.monotonic() + self._period
            except errors.RdmsError as error:  # the next round is soon
                _log.warning("cannot look for users", error=str(error))
            except Exception:  # noqa: BLE001  without this thread nobody would be given a spare
                _log.exception("defect")
            self._wake.wait(self._period)
            self._wake.clear()

    def _look_anew(self) -> None:
        """Look at all desktops when that is due, else at those of hosts that are back.

        They are found in a list of all, which takes seconds of many: nobody waits for it but users
        of pools at the start.
        """
        with self._lock:
            everything, self._all_due = self._all_due, False
            hosts, self._returned = self._returned, set()
        if not (everything or hosts):
            return
        try:
            uses = [use for use in self._store.list_uses() if use.use in _WATCHED]
            self._check(use for use in uses if everything or self._host_name(use) in hosts)
        except BaseException:
            with self._lock:
                self._all_due |= everything
                self._returned |= hosts
            raise
        with self._lock:
            self._is_begun = (self._is_begun or everything) and not self._all_due

    def _to_ask(self) -> Iterable[str]:
        """Who must be asked: the guests of hosts that tell nothing, and who gave no answer."""
        with self._lock:
            names = set(self._silent)
        mute = {host.name for host in self._hosts.all() if not host.tells_sessions}
        if mute and self._watches:
            uses = (*self._store.list_uses(use=Use.TAKEN), *self._store.list_uses(use=Use.READY))
            names |= {use.name for use in uses if not use.saved and self._host_name(use) in mute}
        return names

    def _host_name(self, use: DesktopUse) -> str:
        host = self._hosts.find(use.host)
        return host.name if host else ""

    def _look_soon(self, name: str, kind: VmEventKind | None = None) -> None:
        """One thread at a time looks at a desktop, so that its events count in their order."""
        key = name.casefold()
        with self._lock:
            self._due.setdefault(key, set()).update({kind} if kind else ())
            if key in self._busy:
                return
            self._busy.add(key)
            executor = self._patient if key in self._silent else self._askers
        self._run(executor, self._work, key)

    def _run(
        self, executor: ThreadPoolExecutor, function: Callable[[str], None], argument: str
    ) -> None:
        with suppress(RuntimeError):  # closed
            executor.submit(function, argument)

    def _work(self, key: str) -> None:
        while True:
            with self._lock:
                kinds = self._due.pop(key, None)
                if kinds is None:
                    self._busy.discard(key)
                    return
            try:
                self._handle(key, kinds)
            except errors.RdmsError as error:  # it is asked again like a silent guest
                _log.warning("cannot look at a desktop", desktop=key, error=str(error))
                self._set_silent(key, silent=True)
            except Exception:  # noqa: BLE001  whatever it was, the desktop is looked at again
                _log.exception("defect", desktop=key)

    def _handle(self, key: str, kinds: set[VmEventKind]) -> None:
        """A log-on to a desktop that was handed out needs no question who it is."""
        logged_on = VmEventKind.LOGGED_ON in kinds
        noted = logged_on and self._uses.change([key], _note_logon)
        if noted and len(kinds) == 1:
            return
        use = self._store.find_use(key)
        if logged_on and (use is None or use.use not in _WATCHED):  # a job may be making it
            self._later.add(key)
            use = self._store.find_use(key)  # it may just have been let go of
        if use and use.use in _WATCHED:
            self._look(use)
        else:
            self._set_silent(key, silent=False)
        self._check_off(key)

    def _look(self, use: DesktopUse) -> None:
        rules = find_rules(self._store, use.collection)
        host = self._hosts.find(use.host)
        if host is None:
            self._set_apart(use)
        if rules is None or host is None or self._health.is_away(host.name):
            return
        try:
            sight = _see(host, use)
        except errors.HostUnavailable as error:
            self._health.note_failure(host.name, error)
            return
        self._set_silent(use.name.casefold(), silent=sight is None)
        if sight and self._has_come_and_gone(host, use, sight):
            use = replace(use, seen=True)
        fields = conclude(use, sight, rules) if sight else None
        if not fields and self._is_unchecked(use) and rules.pooled and not use.adopted:
            # nobody watched: who knows who was on it meanwhile
            fields = None if self._has_mark(host, use) else {"use": Use.UNREADY, "saved": False}
        if fields:
            self._apply(host, use, dict(fields))

    def _has_come_and_gone(self, host: ports.Host, use: DesktopUse, sight: Sight) -> bool:
        """Whether its holder was on it while nobody watched, and is no more.

        A new mark may as well be that of one who logged on since ``sight``: he is looked for again.
        """
        if use.use is not Use.TAKEN or use.seen or not use.mark or sight.user:
            return False
        if sight.state is not VmState.RUNNING:
            return False
        try:
            mark = host.guest(use.name).logon_mark(GUEST_SECONDS)
            return mark != use.mark and not _who(host, use.name)
        except errors.RdmsError:
            return False

    def _set_apart(self, use: DesktopUse) -> None:
        """The service runs without its host: it is lost, until reconciling finds it again."""
        words = f"this service has no host {use.host}"
        reason = render_reason(ReasonCode.VM_LOST, words)
        self._uses.turn(use, Use.QUARANTINED, reason=reason, saved=False)

    def _apply(self, host: ports.Host, use: DesktopUse, values: dict[str, object]) -> None:
        """Unless it has changed hands since ``use``."""
        after = values.pop("use", use.use)
        if after is Use.READY and use.use is not Use.READY:
            values["mark"] = host.guest(use.name).logon_mark(GUEST_SECONDS)
        self._uses.turn(use, Use(str(after)), **values)

    def _set_silent(self, key: str, *, silent: bool) -> None:
        with self._lock:
            (self._silent.add if silent else self._silent.discard)(key)

    def _is_unchecked(self, use: DesktopUse) -> bool:
        names = self._unchecked.get(use.collection.casefold(), set())
        return use.use is Use.READY and use.name.casefold() in names

    def _check_off(self, key: str) -> None:
        with self._lock:
            for names in self._unchecked.values():
                names.discard(key)


def _note_logon(use: DesktopUse) -> DesktopUse | None:
    return replace(use, seen=True) if use.use is Use.TAKEN and not use.seen else None


def _see(host: ports.Host, use: DesktopUse) -> Sight | None:
    """None when its guest does not answer, or the VM is not the one on record. HostUnavailable."""
    vm = host.find_vm(use.name)
    if vm is None or vm.uuid != use.uuid:
        return None
    if vm.state is not VmState.RUNNING:
        return Sight(vm.state)
    try:
        return Sight(vm.state, _who(host, use.name))
    except errors.SessionError:
        return None


def _who(host: ports.Host, name: str) -> str:
    """The account that was logged on first; "" for nobody."""
    sessions = host.guest(name).list_sessions(GUEST_SECONDS)
    return sessions[0].account if sessions else ""
