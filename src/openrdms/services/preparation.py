"""Making one desktop fresh: a new disk from its collection's image, started, answering, nobody on.

A desktop is PREPARING from before the first call on its host until after the last one, so a
service that dies in between finds it on record and begins again. Every call is safe to repeat.
While its guest boots no thread waits for it: it is told of the agent, or asks now and then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog

from openrdms import ports
from openrdms.jobs.tokens import Kind, Tokens
from openrdms.model import errors
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import DiskKind, GuestIdentity, Ownership, VmInfo, VmSpec, VmState
from openrdms.model.image import ImageVersion
from openrdms.model.pool_policy import MOST_FAILURES, PoolRules
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.hosts import Hosts
from openrdms.services.images import Images
from openrdms.services.pool_rules import find_rules

BOOT_SHARE = 20.0
"""Seconds that each other guest which boots on the same host adds to the boot deadline."""

RECHECK = 10.0
"""Seconds without an event after which a guest is asked all the same: hosts lose events."""

_ASK_SECONDS = 2.0
_PING_SECONDS = 2.0
_MARK_SECONDS = 8.0
_IDENTITY_SECONDS = 120.0

_log = structlog.get_logger(__name__)


class _Yielded(errors.InvalidOperation):
    """The desktop is no longer ours, or a job wants it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"desktop {name} is in work")


class _Occupied(errors.InvalidOperation):
    """``user`` is logged on."""

    def __init__(self, name: str, user: str) -> None:
        super().__init__(f"{user} is logged on to {name}")
        self.user = user


class _NeverFresh(errors.OperationFailed):
    """Its collection resets desktops, and this one has a disk of its own."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is no copy of an image, so it cannot be reset")


_NOT_ITS_FAULT = (_Yielded, errors.HostUnavailable, errors.RecordsUnavailable)


@dataclass
class Attempt:
    """One desktop being prepared. ``use`` is as it was when that began.

    Times are monotonic seconds: ``deadline`` for its guest to answer, ``patience`` before it,
    ``ask_at`` when it is asked next; all 0 until it boots, ``ask_at`` also while it is being asked.
    ``heard`` tells that its agent has come meanwhile. ``given_up`` is set when somebody else has it
    or wants it.
    """

    use: DesktopUse
    begun: float
    urgent: bool = False
    deadline: float = 0.0
    patience: float = 0.0
    ask_at: float = 0.0
    heard: bool = False
    given_up: bool = False


class Preparation:
    """Safe from any thread. ``begin`` and ``finish`` block; in between the guest boots."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        images: Images,
        uses: DesktopUses,
        tokens: Tokens,
        boot_deadline: float,
    ) -> None:
        """``boot_deadline`` in seconds."""
        self._store = store
        self._hosts = hosts
        self._images = images
        self._uses = uses
        self._tokens = tokens
        self._boot_deadline = boot_deadline
        self._lock = threading.Lock()
        self._attempts: dict[str, Attempt] = {}
        uses.subscribe(self._note_use, lambda name: name in self._attempts)

    def enter(self, use: DesktopUse, *, urgent: bool = False) -> Attempt:
        """Know of a desktop that has just become PREPARING."""
        attempt = Attempt(use, time.monotonic(), urgent)
        with self._lock:
            self._attempts[use.name.casefold()] = attempt
            self._uses.take_in_hand(use.name)
        try:
            now = self._store.find_use(use.name)  # a claim may have come before we listened
        except (errors.OperationFailed, errors.RecordsUnavailable):
            attempt.given_up = True
        else:
            self._note_use(now or use)
        return attempt

    def hear(self, name: str) -> Attempt | None:
        """The agent of a guest has come; returns what is to be finished now, if anything."""
        with self._lock:
            attempt = self._attempts.get(name.casefold())
            if attempt is None or not attempt.ask_at:
                if attempt:
                    attempt.heard = True
                return None
            attempt.ask_at = 0.0
            return attempt

    def note_return(self, host: str) -> None:
        """A host is back: its guests are asked now, and have all their time again."""
        now = time.monotonic()
        with self._lock:
            for attempt in self._attempts.values():
                found = self._hosts.find(attempt.use.host)
                if attempt.deadline and found and found.name == host:
                    attempt.deadline = now + attempt.patience
                    attempt.heard = not attempt.ask_at
                    attempt.ask_at = min(attempt.ask_at, now)

    def begin(self, attempt: Attempt) -> None:
        """Everything up to its start. HostUnavailable; RdmsError when the host refuses."""
        desktop = self._store.find_desktop(attempt.use.name)
        if desktop is None or desktop.uuid != attempt.use.uuid:
            raise _Yielded(attempt.use.name)
        host = self._hosts.get(desktop.host)
        vm = host.find_vm(desktop.name)
        if vm and vm.uuid != desktop.uuid:
            raise errors.OperationFailed(f"{vm.name} on {host.name} is another VM than on record")
        rules = self._find_rules(desktop)
        image = (attempt.use.image and rules.image) or desktop.image
        ours = desktop.disk_kind is DiskKind.LINKED and not desktop.adopted
        resets = attempt.use.resets
        if resets and not ours:
            raise _NeverFresh(desktop.name)
        as_it_was = image == desktop.image and vm and vm.is_over(desktop.generation)
        anew = ours and (resets or not as_it_was)
        if anew:
            self._make_anew(attempt, host, desktop, image, vm)
        # The agent of what runs, and goes on so, is there already: it is asked at once.
        attempt.heard = not anew and vm is not None and vm.state is VmState.RUNNING
        self._call(attempt, Kind.START, host.start, desktop.name)
        self._let_boot(attempt)

    def finish(self, attempt: Attempt) -> bool:
        """Make it READY if its guest answers; False when it does not yet.

        OperationFailed when it should have by now, or cannot take its identity; HostUnavailable.
        """
        desktop = self._store.find_desktop(attempt.use.name)
        if desktop is None or attempt.given_up:
            raise _Yielded(attempt.use.name)
        host = self._hosts.get(desktop.host)
        guest = host.guest(desktop.name)
        try:
            guest.ping(_PING_SECONDS)
            identity = GuestIdentity(desktop.name, desktop.uuid.hex, desktop.mac)
            guest.set_identity(identity, _IDENTITY_SECONDS)
            mark = guest.logon_mark(_ASK_SECONDS)
            user = _who(guest)
        except errors.GuestUnreachable:
            if self.put_off(attempt):
                return False
            words = f"the guest agent did not answer within {attempt.patience:.0f} s"
            raise errors.OperationFailed(words) from None
        if not (desktop.identity_set and desktop.status is DesktopStatus.SUCCESS):
            self._store.change_desktop(desktop.name, _as_prepared)
        if user:
            raise _Occupied(desktop.name, user)
        self._let_go(attempt, Use.READY, mark=mark, failures=0)
        return True

    def put_off(self, attempt: Attempt) -> bool:
        """Have its guest asked again later; False when it should have answered by now."""
        if time.monotonic() >= attempt.deadline:
            return False
        self._ask_later(attempt)
        return True

    def leave_off(self, attempt: Attempt) -> None:
        """Stop one that nobody needs now; it is made fresh when somebody does."""
        desktop = self._store.find_desktop(attempt.use.name)
        if desktop is None:
            raise _Yielded(attempt.use.name)
        host = self._hosts.get(desktop.host)
        self._ask_once_more(host, desktop)
        self._call(attempt, Kind.STOP, host.destroy, desktop.name)
        self._store.change_desktop(desktop.name, _as_left_off)
        self._let_go(attempt, Use.UNREADY)

    def save(self, attempt: Attempt) -> None:
        """Write a spare to disk; it stays as fresh as it was. Who gets it then cannot ask its guest
        any more whether somebody was on it: it is not kept if somebody was, or nobody can say.
        """
        host = self._hosts.get(attempt.use.host)
        if not is_untouched(host, attempt.use):
            self._let_go(attempt, Use.UNREADY)
            return
        self._call(attempt, Kind.STOP, host.save, attempt.use.name)
        self._let_go(attempt, Use.READY, fresh=attempt.use.fresh, saved=True)

    def resume(self, attempt: Attempt) -> None:
        """Let a saved spare run."""
        host = self._hosts.get(attempt.use.host)
        self._call(attempt, Kind.START, host.start, attempt.use.name)
        self._let_go(attempt, Use.READY, fresh=attempt.use.fresh, saved=False)

    def end(self, attempt: Attempt, error: BaseException) -> str:
        """Let go of a desktop after ``error``; words when its preparation has failed, else ""."""
        use = attempt.use
        if isinstance(error, _Occupied):
            who = {"holder": error.user, "seen": True, "turn": use.turn + 1}
            self._let_go(attempt, Use.TAKEN, asked=False, **who)
        elif attempt.given_up or isinstance(error, _NOT_ITS_FAULT):
            self._let_go(attempt, Use.UNREADY)
        elif isinstance(error, _NeverFresh):
            self._let_go(attempt, Use.QUARANTINED, reason=str(error))
        else:
            failures = use.failures + 1
            apart = failures >= MOST_FAILURES
            after = Use.QUARANTINED if apart else Use.UNREADY
            self._let_go(attempt, after, failures=failures, reason=str(error))
            _log.warning("not prepared", desktop=use.name, failures=failures, reason=str(error))
            return str(error) or repr(error)
        return ""

    def due(self, now: float) -> tuple[list[Attempt], float | None]:
        """Whose guests are to be asked now, and the monotonic time when the next one is."""
        with self._lock:
            booting = [attempt for attempt in self._attempts.values() if attempt.ask_at]
            due = [attempt for attempt in booting if attempt.ask_at <= now]
            for attempt in due:
                attempt.ask_at = 0.0
        return due, min((one.ask_at for one in booting if one.ask_at), default=None)

    def _note_use(self, use: DesktopUse) -> None:
        attempt = self._attempts.get(use.name.casefold())
        if attempt and (use.claim or not _is_same(use, attempt.use)):
            attempt.given_up = True

    def _call(
        self, attempt: Attempt, kind: Kind, function: Callable[..., None], *args: object
    ) -> None:
        """A call on the attempt's host, unless somebody else has got the desktop meanwhile."""

        def call() -> None:
            if attempt.given_up:
                raise _Yielded(attempt.use.name)
            function(*args)

        self._tokens.run(attempt.use.host, kind, call, urgent=attempt.urgent)

    def _find_rules(self, desktop: Desktop) -> PoolRules:
        rules = find_rules(self._store, desktop.collection)
        if rules is None:
            raise _Yielded(desktop.name)
        return rules

    def _make_anew(
        self, attempt: Attempt, host: ports.Host, desktop: Desktop, image: str, vm: VmInfo | None
    ) -> None:
        """The record says which disk is going to be used before that is made."""
        version = self._images.resolve(f"image:{image}")
        if not host.has_image(version):
            self._call(attempt, Kind.COPY, self._bring_image, attempt, host, version)
        if image != desktop.image and self._find_rules(desktop).image != image:
            raise _Yielded(desktop.name)  # an update has begun: its plan counts on this generation
        if vm and vm.state is VmState.RUNNING:
            self._ask_once_more(host, desktop)
        self._call(attempt, Kind.STOP, host.destroy, desktop.name)
        if image != desktop.image:
            desktop = self._turn_to(desktop, image)
        job = vm.ownership.job if vm and vm.ownership else ""
        spec = VmSpec(
            name=desktop.name,
            uuid=desktop.uuid,
            mac=desktop.mac,
            image=version,
            disk_kind=desktop.disk_kind,
            generation=desktop.generation,
            ownership=Ownership(desktop.home, job, image),
        )
        self._call(attempt, Kind.CLONE, host.create_disk, spec)
        self._call(attempt, Kind.DEFINE, host.define, spec)
        is_other = not (vm and vm.is_over(desktop.generation))
        if (is_other or desktop.generation > 1) and self._find_rules(desktop).image:
            # its image has changed, now or before we died, or an update of it could not go back;
            # one that runs keeps what it may go back to
            self._call(attempt, Kind.REMOVE, host.delete_unused_disks, desktop.name)

    def _bring_image(self, attempt: Attempt, host: ports.Host, image: ImageVersion) -> None:
        if not host.has_image(image):
            host.copy_image(image, lambda: not attempt.given_up, lambda _share: None)

    def _ask_once_more(self, host: ports.Host, desktop: Desktop) -> None:
        with suppress(errors.SessionError):
            if user := _who(host.guest(desktop.name)):
                raise _Occupied(desktop.name, user)

    def _turn_to(self, desktop: Desktop, image: str) -> Desktop:
        generation = desktop.generation + 1

        def turn(present: Desktop | None) -> Desktop | None:
            return present and replace(present, image=image, generation=generation)

        try:
            turned = self._store.change_desktop(desktop.name, turn, idle=True)
        except errors.InvalidOperation:
            raise _Yielded(desktop.name) from None
        if turned is None:
            raise _Yielded(desktop.name)
        return turned

    def _let_boot(self, attempt: Attempt) -> None:
        host = attempt.use.host
        with self._lock:
            others = sum(
                bool(one.deadline) and one.use.host == host for one in self._attempts.values()
            )
        attempt.patience = self._boot_deadline + BOOT_SHARE * others
        attempt.deadline = time.monotonic() + attempt.patience
        self._ask_later(attempt)

    def _ask_later(self, attempt: Attempt) -> None:
        """At once if its agent has come while nobody waited for it."""
        now = time.monotonic()
        with self._lock:
            pause = 0.0 if attempt.heard else RECHECK
            attempt.heard = False
            attempt.ask_at = min(now + pause, attempt.deadline)

    def _let_go(self, attempt: Attempt, use: Use, **values: object) -> None:
        """Give the desktop its next use, unless somebody else has given it one."""
        mine = attempt.use
        if attempt.given_up and use is Use.READY:
            use = Use.UNREADY
        with self._lock:
            if self._attempts.get(mine.name.casefold()) is attempt:
                del self._attempts[mine.name.casefold()]
                self._uses.let_go(mine.name)  # before its use: what is heard until then is noted
        if self._uses.turn(mine, use, **values) is None:
            self._uses.announce([mine.name])  # whoever waits for us to let go need not any more


def _is_same(now: DesktopUse, mine: DesktopUse) -> bool:
    return (now.use, now.since, now.uuid) == (Use.PREPARING, mine.since, mine.uuid)


def _as_left_off(present: Desktop | None) -> Desktop | None:
    return present and replace(present, identity_set=False)


def _as_prepared(present: Desktop | None) -> Desktop | None:
    return present and replace(present, identity_set=True, status=DesktopStatus.SUCCESS)


def is_untouched(host: ports.Host, use: DesktopUse) -> bool:
    """Whether it is known that nobody has logged on since it became READY; where desktops are
    handed on as they were left that is of no account.
    """
    if host.tells_sessions or not use.resets:
        return True
    with suppress(errors.SessionError):
        return host.guest(use.name).logon_mark(_MARK_SECONDS) == use.mark
    return False


def _who(guest: ports.Guest) -> str:
    """The account that was logged on first; "" for nobody."""
    sessions = guest.list_sessions(_ASK_SECONDS)
    return sessions[0].account if sessions else ""
