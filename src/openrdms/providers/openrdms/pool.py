"""OpenRDMS_Pool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openrdms import ports
from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop_use import Use
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import Values, find_number, find_text, get_text
from openrdms.services.brokering import Brokering, Connection
from openrdms.services.pools import Pools
from openrdms.services.releasing import Releasing
from openrdms.services.session_watch import SessionWatch
from openrdms.services.sessions import Sessions

_LONGEST_WAIT = 20
"""Seconds: clients give up on a call after 30."""

_COUNTS = {
    "Ready": Use.READY,
    "Taken": Use.TAKEN,
    "Preparing": Use.PREPARING,
    "Unready": Use.UNREADY,
    "InWork": Use.WORK,
    "Quarantined": Use.QUARANTINED,
}


@dataclass(frozen=True)
class PoolServices:
    """What the class is made of."""

    store: ports.Store
    pools: Pools
    watch: SessionWatch
    brokering: Brokering
    releasing: Releasing
    sessions: Sessions


class PoolProvider(ServiceProvider):
    """The desktops of a collection as users meet them: who has one, who waits, who gets one."""

    cim_class = "OpenRDMS_Pool"

    def __init__(self, services: PoolServices) -> None:
        self._store = services.store
        self._pools = services.pools
        self._watch = services.watch
        self._brokering = services.brokering
        self._releasing = services.releasing
        self._sessions = services.sessions
        self.methods = {
            "Connect": self._connect,
            "Release": self._release,
            "SendMessage": self._send_message,
            "ResetBreaker": self._reset_breaker,
            "ReleaseDesktop": self._release_desktop,
        }

    def do_list(self, where: Where) -> Iterable[Values]:
        return [self._render(one.alias, one.type) for one in self._store.list_collections()]

    def do_get(self, keys: Values) -> Values:
        collection = self._require(keys)
        return self._render(collection.alias, collection.type)

    def do_require(self, keys: Values) -> None:
        self._require(keys)  # users connect too often to count desktops each time

    def _require(self, keys: Values) -> Collection:
        alias = get_text(keys, "CollectionAlias")
        collection = self._store.find_collection(alias)
        if collection is None:
            raise errors.NotFound(f"there is no collection {alias!r} of virtual desktops")
        return collection

    def _render(self, alias: str, kind: CollectionType) -> Values:
        counts = self._store.count_uses(alias)
        breaker = self._pools.breaker(alias)
        spares = self._pools.count_spares(alias)
        seconds = self._pools.seconds(alias)
        return {
            "CollectionAlias": alias,
            "CollectionType": int(kind),
            **{name: counts.get(use, 0) for name, use in _COUNTS.items()},
            "Waiting": self._pools.waiting(alias),
            "Failures": breaker.failures,
            "Stopped": breaker.opened is not None,
            "Reason": breaker.reason,
            "PreparationMilliseconds": None if seconds is None else round(seconds * 1000),
            "HostNames": list(spares),
            "RunningSpares": [running for running, _ in spares.values()],
            "SavedSpares": [saved for _, saved in spares.values()],
        }

    def _connect(self, call: Call) -> Values:
        wait = find_number(call.parameters, "WaitSeconds") or 0
        if wait > _LONGEST_WAIT:
            raise errors.InvalidParameter("WaitSeconds", f"is more than {_LONGEST_WAIT}")
        name, domain = _user(call)
        user = self._brokering.find_user(name, domain)
        answer = self._brokering.connect(user, get_text(call.keys, "CollectionAlias"), wait)
        if isinstance(answer, Connection):
            return {"VMName": answer.desktop, "VMHostName": answer.host, "How": answer.how}
        return {
            "ReasonCode": answer.code,
            "Reason": answer.words,
            "Position": answer.position,
            "EstimateSeconds": None if answer.seconds is None else round(answer.seconds),
        }

    def _release(self, call: Call) -> None:
        user = self._brokering.find_user(*_user(call))
        self._brokering.release(user, get_text(call.keys, "CollectionAlias"))

    def _send_message(self, call: Call) -> Values:
        title = find_text(call.parameters, "Title")
        text = find_text(call.parameters, "Message")
        if not title and not text:
            raise errors.InvalidParameter("Message", "is empty, and so is Title")
        found = self._sessions.list(collection=get_text(call.keys, "CollectionAlias"))
        results = self._sessions.send_messages(found, title, text)
        return {
            "VMHostNames": [session.host for session, _ in results],
            "SessionIds": [session.session_id for session, _ in results],
            "VMNames": [session.vm for session, _ in results],
            "UserNames": [session.user for session, _ in results],
            "Results": [error.win32 if error else 0 for _, error in results],
            "Reasons": [str(error) if error else "" for _, error in results],
        }

    def _reset_breaker(self, call: Call) -> None:
        self._pools.reset_breaker(get_text(call.keys, "CollectionAlias"))

    def _release_desktop(self, call: Call) -> None:
        name, force = get_text(call.parameters, "VMName"), call.parameters["Force"] is True
        released = self._releasing.release(name, force=force)
        self._watch.note_collection(released.collection)


def _user(call: Call) -> tuple[str, str]:
    return get_text(call.parameters, "UserName"), find_text(call.parameters, "UserDomain")
