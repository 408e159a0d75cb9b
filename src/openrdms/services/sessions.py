"""User sessions inside desktops: found, messaged, disconnected, ended.

Only guests of VMs on our records are entered, members and adopted ones; a stranger's VM is listed
as a desktop, but what goes on inside is its owner's affair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog

from openrdms import ports
from openrdms.model import errors
from openrdms.model.desktop import Desktop
from openrdms.model.host import GuestSession, VmEvent, VmEventKind, VmInfo, VmState
from openrdms.model.session import Session, SessionKey
from openrdms.services.hosts import Hosts
from openrdms.services.last_seen import Key, LastSeen, Seen

_LIST_SECONDS = 2.0
"""What one guest, or host, gets to answer an enumeration."""

_CALL_SECONDS = 20.0
"""What a guest gets to find a session and then show a message, disconnect it or log it off.

Stock clients wait 30 s for the answer.
"""

_MOST_SESSIONS = 256
"""Of one guest: more than people share a desktop, and a guest may answer what it likes."""

_ASKED_AT_ONCE = 256

_ACTED_ON_AT_ONCE = 256

_log = structlog.get_logger(__name__)

Result = tuple[Session, errors.SessionError | None]
"""A session and why it could not be acted on; None when it was."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Place:
    """A running VM of ours, where it is, and its record."""

    host: ports.Host
    vm: VmInfo
    record: Desktop

    @property
    def seen_key(self) -> Key:
        return Key(self.host.name, self.vm.name)

    def key(self, session: GuestSession) -> SessionKey:
        return SessionKey(self.vm.name, self.vm.uuid, session.key)


class Sessions:
    """Rules of Win32_VirtualDesktopSession; blocking, safe from several threads at once."""

    def __init__(self, store: ports.Store, hosts: Hosts) -> None:
        self._store = store
        self._hosts = hosts
        self._askers = ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="guest")
        # Their own, since a guest that is slow to act must not keep others from being listed.
        self._actors = ThreadPoolExecutor(_ACTED_ON_AT_ONCE, thread_name_prefix="session")
        self._last_seen = LastSeen()
        self._listeners: list[Callable[[str], None]] = []
        self._message_listeners: list[Callable[[str, str, str], None]] = []
        hosts.subscribe(self._hear)

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Tell it the VM of each session that was acted on here."""
        self._listeners.append(listener)

    def subscribe_to_messages(self, listener: Callable[[str, str, str], None]) -> None:
        """Tell it user, title and text of each message that was shown in a session."""
        self._message_listeners.append(listener)

    def list(self, *, collection: str | None = None, vm: str | None = None) -> list[Session]:
        """All sessions, or those in desktops of a collection or in one VM; guests asked at once.

        A guest or host that does not answer within 2 s is left out and holds up nobody.
        """
        return [*self._ask_guests(self._find_places(collection, vm))]

    def list_on(self, desktops: Iterable[str]) -> Sequence[Session]:
        """All sessions on these desktops; as ``list``, but nothing else is looked at."""
        places = self._ask(self._find_place, desktops)
        return self._ask_guests([place for _, place in places if place])

    def each(self, act: Callable[[T], R], chosen: Iterable[T]) -> Sequence[R]:
        """What ``act`` returns for each, in their order, all done at once; it must not raise."""
        return [*self._actors.map(act, chosen)]

    def _ask_guests(self, places: Sequence[_Place]) -> Sequence[Session]:
        found: dict[ports.Host, dict[SessionKey, tuple[_Place, GuestSession]]] = {}
        asked_at = time.monotonic()
        answers = self._ask(_list_guest, places)
        self._last_seen.note(asked_at, [(place.seen_key, told) for place, told in answers])
        for place, sessions in answers:
            here = found.setdefault(place.host, {})
            here.update({place.key(session): (place, session) for session in sessions})
        return [
            _describe(*here[key], session_id)
            for host, here in found.items()
            for key, session_id in self._store.session_ids(host.name, list(here)).items()
        ]

    def get(self, host: str, session_id: int) -> Session:
        """One session; only its own guest is asked. NotFound."""
        known = self._hosts.find(host)
        key = self._store.find_session(known.name, session_id) if known else None
        if known and key:
            for session in self.list(vm=key.vm):
                if (session.host, session.session_id) == (known.name, session_id):
                    return session
        raise errors.NotFound(f"host {host} has no session {session_id}")

    def last_seen(self, host: str, vm: str) -> Seen | None:
        """Who was logged on in a VM when its guest last told, within a minute; asks nobody."""
        return self._last_seen.find(Key(host, vm))

    def send_message(self, host: str, session_id: int, title: str, text: str) -> None:
        """Show a message in a session; returns when it was seen to be shown.

        Title or text may be empty. Raises SessionGone, VmNotRunning, GuestUnreachable or
        SessionDenied.
        """
        with self._open(host, session_id) as (guest, session, seconds):
            if not title and not text:
                raise errors.SessionDenied("Title and Message are both empty")
            guest.send_message(session, title, text, seconds)
        for listener in self._message_listeners:
            listener(session.user, title, text)

    def send_messages(self, sessions: Iterable[Session], title: str, text: str) -> Sequence[Result]:
        """Show one message in many sessions at once; what came of each, in their order."""

        def attempt(session: Session) -> errors.SessionError | None:
            try:
                self.send_message(session.host, session.session_id, title, text)
            except errors.SessionError as error:
                return error
            return None

        asked = [*sessions]
        return [*zip(asked, self.each(attempt, asked), strict=True)]

    def disconnect(self, host: str, session_id: int) -> None:
        """Part a session from its client; it runs on. Raises as ``send_message``."""
        with self._open(host, session_id) as (guest, session, seconds):
            guest.disconnect(session, seconds)

    def log_off(self, host: str, session_id: int) -> None:
        """End a session; returns when it is gone. Raises as ``send_message``."""
        with self._open(host, session_id) as (guest, session, seconds):
            guest.log_off(session, seconds)

    @contextmanager
    def _open(
        self, host_name: str, session_id: int
    ) -> Iterator[tuple[ports.Guest, GuestSession, float]]:
        """The guest of a session, the session in it and the seconds that are left to act.

        What fails is told as a SessionError.
        """
        end = time.monotonic() + _CALL_SECONDS
        try:
            host = self._hosts.find(host_name)
            key = self._store.find_session(host.name, session_id) if host else None
            if host is None or key is None:
                raise errors.SessionGone(f"host {host_name} has no session {session_id}")
            guest = self._find_guest(host, key)
            for session in guest.list_sessions(_CALL_SECONDS):
                if session.key == key.guest_key:
                    try:
                        yield guest, session, end - time.monotonic()
                    finally:  # what failed may have had its effect, too
                        self._tell_acted(host.name, key.vm)
                    return
            raise errors.SessionGone(f"session {session_id} of {key.vm} has ended")
        except errors.SessionError:
            raise
        except errors.HostUnavailable as error:
            raise errors.GuestUnreachable(str(error)) from error
        except errors.NotFound as error:
            raise errors.SessionGone(str(error)) from error
        except errors.RdmsError as error:
            raise errors.SessionDenied(str(error)) from error

    def _tell_acted(self, host: str, vm: str) -> None:
        self._last_seen.forget(Key(host, vm))
        for listener in self._listeners:
            listener(vm)

    def _hear(self, event: VmEvent) -> None:
        if event.kind in (VmEventKind.STOPPED, VmEventKind.AGENT_DISCONNECTED):
            self._last_seen.forget(Key(event.host, event.vm))

    def _find_guest(self, host: ports.Host, key: SessionKey) -> ports.Guest:
        vm = host.find_vm(key.vm)
        record = self._store.find_desktop(key.vm)
        if vm is None or vm.uuid != key.vm_uuid or record is None or record.uuid != vm.uuid:
            raise errors.SessionGone(f"{key.vm} is no desktop of host {host.name} any more")
        if vm.state is not VmState.RUNNING:
            raise errors.VmNotRunning(f"{key.vm} is not running")
        return host.guest(vm.name)

    def _find_places(self, collection: str | None, vm_name: str | None) -> Sequence[_Place]:
        records = {
            record.uuid: record
            for record in self._store.list_desktops()
            if _is(record.collection, collection) and _is(record.name, vm_name)
        }
        listed = self._ask(lambda host: host.list_vms(), self._hosts.all())
        return [
            _Place(host, vm, records[vm.uuid])
            for host, vms in listed
            for vm in vms
            if vm.state is VmState.RUNNING
            and vm.uuid in records
            and self._hosts.find(records[vm.uuid].host) is host
        ]

    def _find_place(self, desktop: str) -> _Place | None:
        record = self._store.find_desktop(desktop)
        host = self._hosts.find(record.host) if record else None
        vm = host.find_vm(desktop) if host else None
        if record is None or host is None or vm is None:
            return None
        ours = vm.uuid == record.uuid and vm.state is VmState.RUNNING
        return _Place(host, vm, record) if ours else None

    def _ask(self, question: Callable[[T], R], asked: Iterable[T]) -> Sequence[tuple[T, R]]:
        """Answers that come in time; who fails or is late is left out."""
        futures: dict[Future[R], T] = {self._askers.submit(question, one): one for one in asked}
        answered, _ = wait(futures, timeout=_LIST_SECONDS)
        return [
            (futures[future], future.result())
            for future in futures
            if future in answered and not _failed(future)
        ]


def _is(name: str, wanted: str | None) -> bool:
    return wanted is None or name.casefold() == wanted.casefold()


def _list_guest(place: _Place) -> list[GuestSession]:
    found = place.host.guest(place.vm.name).list_sessions(_LIST_SECONDS)
    return found[:_MOST_SESSIONS]


def _failed(future: Future[R]) -> bool:
    """True for an error. One of ours is logged: it may not cost the others their answer."""
    error = future.exception()
    if error is not None and not isinstance(error, errors.RdmsError):
        _log.error("defect", exc_info=error)
    return error is not None


def _describe(place: _Place, session: GuestSession, session_id: int) -> Session:
    return Session(
        host=place.host.name,
        session_id=session_id,
        vm=place.vm.name,
        state=session.state,
        user=session.user,
        domain=session.domain,
        collection=place.record.collection,
        client=session.client,
        since=session.since,
        idle=session.idle,
    )
