"""What users see of their own: what they may open, how it stands, and what they may do to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from openrdms import ports
from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop
from openrdms.model.desktop_use import Use
from openrdms.model.host import VmState
from openrdms.model.publishing import Resource
from openrdms.model.reason import Wait
from openrdms.services.brokering import Brokering, Refused, User
from openrdms.services.desktop_list import DesktopList
from openrdms.services.hosts import Hosts
from openrdms.services.publishing import Publishing
from openrdms.services.releasing import Releasing
from openrdms.services.run_states import RunStates


class Stage(StrEnum):
    """How near somebody is to what he may open.

    OWN      he has a desktop of it, or one is his and is free
    READY    a spare is ready: it opens at once
    WAITING  he waits in line
    LATER    he would have to wait
    CLOSED   he gets none, however long he waits
    """

    OWN = "own"
    READY = "ready"
    WAITING = "waiting"
    LATER = "later"
    CLOSED = "closed"


class Action(StrEnum):
    """What a user may do to his own desktop.

    START    let it run
    RESTART  shut it down, switch it off if it will not, and start it
    RESET    personal: switch it off and on. Pooled: log off and give it back, for a fresh one
    """

    START = "start"
    RESTART = "restart"
    RESET = "reset"


@dataclass(frozen=True)
class Offer:
    """Something that somebody may open. ``state`` is that of ``desktop``, None without one."""

    resource: Resource
    type: CollectionType
    stage: Stage
    desktop: str = ""
    state: VmState | None = None
    wait: Wait | None = None
    actions: Sequence[Action] = ()


class OwnDesktops:
    """Safe from any thread."""

    def __init__(
        self,
        store: ports.Store,
        hosts: Hosts,
        publishing: Publishing,
        brokering: Brokering,
        desktop_list: DesktopList,
        run_states: RunStates,
        releasing: Releasing,
    ) -> None:
        self._store = store
        self._hosts = hosts
        self._publishing = publishing
        self._brokering = brokering
        self._desktop_list = desktop_list
        self._run_states = run_states
        self._releasing = releasing

    def list_resources(self, user: User) -> Sequence[tuple[Resource, Collection]]:
        """What is published to him of collections of desktops, by folder and title."""
        found = [
            (resource, collection)
            for resource in self._publishing.list_feed(user.person).resources
            if (collection := self._store.find_collection(resource.collection))
        ]
        return sorted(found, key=lambda one: (one[0].folder or "", one[0].title.casefold()))

    def list_offers(self, user: User) -> Sequence[Offer]:
        """The same, and how each stands now; applications of a collection share its desktop."""
        resources = self.list_resources(user)
        offers: dict[str, Offer] = {}
        for resource, collection in resources:
            if collection.alias not in offers:
                offers[collection.alias] = self._make_offer(user, resource, collection)
        return [
            replace(offers[collection.alias], resource=resource)
            for resource, collection in resources
        ]

    def find_resource(self, user: User, collection: str, application: str) -> Resource:
        """What is published to him under these aliases. NotFound."""
        wanted = (collection.casefold(), application.casefold())
        for resource, _ in self.list_resources(user):
            if (resource.collection.casefold(), resource.application.casefold()) == wanted:
                return resource
        raise errors.NotFound(f"nothing is published to you as {application or collection!r}")

    def take_screenshot(self, user: User, name: str) -> bytes:
        """What the screen of his own desktop shows, as PNG. NotFound; what its host refused."""
        record, _ = self._get_own(user, name)
        return self._hosts.get(record.host).screenshot(record.name)

    def act(self, user: User, name: str, action: Action) -> None:
        """Do it to a desktop of his own. NotFound for any other; InvalidOperation for what this
        one is not there for; what its host refused.
        """
        record, type_ = self._get_own(user, name)
        if action is Action.START:
            self._run_states.change(record, VmState.RUNNING)
        elif type_ is CollectionType.POOLED:
            self._start_over(record, action)
        elif action is Action.RESTART:
            self._run_states.change(record, VmState.STOPPED)
            self._run_states.change(record, VmState.RUNNING)
        else:
            self._hosts.get(record.host).destroy(record.name)
            self._run_states.change(record, VmState.RUNNING)

    def _start_over(self, record: Desktop, action: Action) -> None:
        """What is on a pooled desktop does not outlast its user, nor a restart."""
        if action is Action.RESTART:
            words = f"{record.name} is of a pool: reset gives you a fresh one"
            raise errors.InvalidOperation(words)
        self._releasing.release(record.name, force=True)

    def _get_own(self, user: User, name: str) -> tuple[Desktop, CollectionType]:
        """Whoever has no part in a desktop does not learn either that there is one."""
        record, use = self._store.find_desktop(name), self._store.find_use(name)
        collection = self._store.find_collection(record.collection) if record else None
        if record and use and collection:
            names = {one.casefold() for one in user.names}
            has = use.use is Use.TAKEN and use.holder.casefold() in names
            pooled = collection.type is CollectionType.POOLED
            free = use.use in (Use.READY, Use.UNREADY) and not use.claim and not pooled
            if has or (free and self._is_assigned(record, user)):
                return record, collection.type
        raise errors.NotFound(f"you have no desktop {name!r}")

    def _is_assigned(self, record: Desktop, user: User) -> bool:
        his = self._store.find_assigned(record.collection, user.name, user.domain)
        return his is not None and his.name == record.name

    def _make_offer(self, user: User, resource: Resource, collection: Collection) -> Offer:
        try:
            outlook = self._brokering.look(user, collection.alias)
        except Refused as error:
            wait = Wait(error.reason, str(error), resource.modified)
            return Offer(resource, collection.type, Stage.CLOSED, wait=wait)
        offer = Offer(resource, collection.type, Stage.READY, outlook.desktop, wait=outlook.wait)
        if outlook.wait:
            return replace(offer, stage=Stage.WAITING if outlook.is_waiting else Stage.LATER)
        if not outlook.desktop:
            return offer
        state = self._find_state(outlook.desktop)
        actions = _list_actions(collection.type, state)
        return replace(offer, stage=Stage.OWN, state=state, actions=actions)

    def _find_state(self, name: str) -> VmState:
        try:
            return self._desktop_list.get(name).state
        except errors.NotFound:  # it has just been deleted
            return VmState.UNKNOWN


def _list_actions(type_: CollectionType, state: VmState) -> Sequence[Action]:
    off: Mapping[VmState, Sequence[Action]] = {
        VmState.STOPPED: (Action.START,),
        VmState.SAVED: (Action.START,),
        VmState.PAUSED: (Action.START,),
        VmState.UNKNOWN: (),
    }
    running = (Action.RESET,) if type_ is CollectionType.POOLED else (Action.RESTART, Action.RESET)
    return off.get(state, running)
