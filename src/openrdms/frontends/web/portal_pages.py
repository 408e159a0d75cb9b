"""The portal: what a user may open, and his account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from openrdms.frontends.web.api.me_desktops import (
    find_picture_type,
    icon_href,
    rdp_href,
    user_of,
)
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.clock import Clock, clock_for
from openrdms.frontends.web.pages import page
from openrdms.frontends.web.second_step_pages import draw
from openrdms.frontends.web.translations import Words, load, words_for
from openrdms.frontends.web.visitors import AnyVisitor, Connecting, Visitor
from openrdms.model.collection import CollectionType
from openrdms.model.errors import RecordsUnavailable
from openrdms.model.host import VmState
from openrdms.model.publishing import ResourceKind
from openrdms.model.reason import ReasonCode, Wait
from openrdms.model.web_session import Scope
from openrdms.services.own_desktops import Action, Offer, Stage

router = APIRouter(include_in_schema=False)

_PART_HEADER = "x-part"

REASONS: Mapping[ReasonCode, str] = {
    ReasonCode.DESKTOP_STARTING: "It is starting.",
    ReasonCode.GUEST_BOOTING: "It is starting.",
    ReasonCode.NO_DESKTOP_READY: "One is being made ready.",
    ReasonCode.NO_DESKTOP_LEFT: "All are in use: the next one that is free is yours.",
    ReasonCode.DESKTOP_IN_WORK: "It is being maintained.",
    ReasonCode.USER_LOGGED_ON: "Somebody else is logged on to it.",
    ReasonCode.HOST_AWAY: "The machine that it runs on does not answer.",
    ReasonCode.NO_ACCESS: "You may not use it.",
    ReasonCode.NOT_ASSIGNED: "None is assigned to you yet: ask an administrator.",
}
"""What users are told of why they wait; the rest is an administrator's affair."""

_ELSE = "Something is wrong with it: an administrator has to look at it."


class Lamp(NamedTuple):
    """See ``lamp`` in style.css."""

    words: str
    tone: str


class Button(NamedTuple):
    """What can be done to a desktop; ``ask`` is put first, "" for what does no harm."""

    name: Action
    words: str
    icon: str
    ask: str
    done: str


class Tile(NamedTuple):
    """One offer, as it is shown."""

    offer: Offer
    key: str
    lamp: Lamp
    status: str
    open_words: str
    icon: str
    screen: str
    rdp: str
    actions: Sequence[Button]


class Group(NamedTuple):
    """Tiles under one heading, "" for none."""

    title: str
    items: Sequence[Tile]


@router.get("/")
@on_hosts
def show(request: Request, visitor: Connecting) -> Response:
    """Tiles, and messages; while the records are away the desktops that he has."""
    try:
        return _show_offers(request, visitor)
    except RecordsUnavailable:
        held = visitor.backend.local_copy.list(visitor.account.name)
        if not held or _PART_HEADER in request.headers:
            raise
    return page(
        request,
        "held.html",
        visitor,
        languages=list_languages(),
        held=[one.name for one in held],
    )


def _show_offers(request: Request, visitor: Visitor) -> Response:
    backend = visitor.backend
    position = backend.changes.position
    messages = backend.user_messages.list(visitor.account.name)
    words = words_for(request)
    artist = _Artist(words, clock_for(request, words))
    return page(
        request,
        "portal.html",
        visitor,
        layout="console/part.html" if _PART_HEADER in request.headers else "portal_layout.html",
        languages=list_languages(),
        position=position,
        messages=messages,
        old=[message for message in messages if message.read],
        groups=artist.draw_groups(backend.own_desktops.list_offers(user_of(visitor))),
        reasons=[*REASONS.items(), ("", _ELSE)],
    )


@router.get("/account")
def show_account(request: Request, visitor: AnyVisitor) -> Response:
    """Password and tokens, for who has just proved who he is."""
    backend, session = visitor.backend, visitor.session
    provider = backend.sign_in.provider
    fresh = session is not None and backend.web_sessions.is_fresh(session)
    return page(
        request,
        "account.html",
        visitor,
        layout="console/part.html" if _PART_HEADER in request.headers else "portal_layout.html",
        languages=list_languages(),
        fresh=fresh,
        has_device=backend.sign_in.second_factors.has(visitor.account),
        provider=provider.ask.source if provider else None,
        second_factor=_find_second_factor(visitor) if fresh else None,
        tokens=backend.api_tokens.list(visitor.account.name) if fresh else [],
        scopes=[*Scope] if visitor.is_staff else [Scope.CONNECT],
    )


class SecondFactor(NamedTuple):
    """What he has, or else may put into a device."""

    has: bool
    required: bool
    secret: str
    picture: str


def _find_second_factor(visitor: Visitor) -> SecondFactor:
    known, account = visitor.backend.sign_in.second_factors, visitor.account
    has, required = known.has(account), known.is_required(account)
    if has:
        return SecondFactor(has, required, "", "")
    proposal = known.propose(account)
    return SecondFactor(has, required, proposal.secret, draw(proposal))


def list_languages() -> list[tuple[str, str]]:
    """Codes and names, each in its own language."""
    return [(code, words("English")) for code, words in load().items()]


class _Artist:
    """Draws tiles in the words of one visitor."""

    def __init__(self, words: Words, clock: Clock) -> None:
        self._t = words
        self._clock = clock

    def draw_groups(self, offers: Iterable[Offer]) -> list[Group]:
        """Desktops first, then applications by folder, what cannot be had last in each; one group
        alone needs no heading.
        """
        ordered = sorted(
            offers,
            key=lambda one: (
                one.resource.kind is ResourceKind.APPLICATION,
                _folder(one),
                one.stage is Stage.CLOSED,
            ),
        )
        groups = [
            Group(self._name_group(*key), [self._draw(one) for one in found])
            for key, found in groupby(ordered, lambda one: (one.resource.kind, _folder(one)))
        ]
        return groups if len(groups) > 1 else [one._replace(title="") for one in groups]

    def _name_group(self, kind: ResourceKind, folder: str) -> str:
        named = self._t("Desktops") if kind is ResourceKind.DESKTOP else self._t("Applications")
        return folder or named

    def _draw(self, offer: Offer) -> Tile:
        resource = offer.resource
        where = (resource.collection, resource.application)
        pictured = find_picture_type(resource.icon) is not None
        own_screen = offer.state is VmState.RUNNING and not resource.application
        return Tile(
            offer=offer,
            key="/".join(where).casefold(),
            lamp=self._lamp(offer),
            status=self._explain(offer),
            open_words=self._t("Wait for it" if offer.stage is Stage.LATER else "Open"),
            icon=icon_href(*where) if pictured else "",
            screen=screen_href(offer.desktop, self._clock) if own_screen else "",
            rdp=rdp_href(*where),
            actions=[self._button(action, offer) for action in offer.actions],
        )

    def _lamp(self, offer: Offer) -> Lamp:
        words = {
            Stage.READY: Lamp(self._t("Ready"), "good"),
            Stage.LATER: Lamp(self._t("Not ready"), "idle"),
            Stage.CLOSED: Lamp(self._t("Not available"), "idle"),
            Stage.WAITING: Lamp(self._name_place(offer.wait), "busy"),
        }
        return words.get(offer.stage) or self._lamp_of_own(offer)

    def _lamp_of_own(self, offer: Offer) -> Lamp:
        match offer.state:
            case VmState.RUNNING:
                return Lamp(self._t("Running"), "good")
            case VmState.SAVED | VmState.PAUSED:
                return Lamp(self._t("Asleep"), "held")
            case VmState.STOPPED:
                return Lamp(self._t("Off"), "idle")
        return Lamp(self._t("No answer"), "bad")

    def _name_place(self, wait: Wait | None) -> str:
        if wait is None or wait.position is None:
            return self._t("Waiting")
        if wait.position == 1:
            return self._t("Next in line")
        return self._t("Number {position} in line", position=wait.position)

    def _explain(self, offer: Offer) -> str:
        if offer.wait:
            return self._explain_wait(offer.wait)
        if offer.stage is Stage.READY:
            if offer.type is CollectionType.POOLED:
                return self._t("It opens at once.")
            return self._t("It becomes yours when you open it.")
        return self._explain_state(offer)

    def _explain_state(self, offer: Offer) -> str:
        match offer.state:
            case VmState.STOPPED:
                return self._t("It starts when you open it.")
            case VmState.SAVED | VmState.PAUSED:
                return self._t("It goes on where you left it.")
            case VmState.RUNNING:
                return self._t("Your desktop is {desktop}.", desktop=offer.desktop)
        return self._t(REASONS[ReasonCode.HOST_AWAY])

    def _explain_wait(self, wait: Wait) -> str:
        words = self._t(REASONS.get(wait.code, _ELSE))
        if wait.seconds is None:
            return words
        return f"{words} {self._t('About {span}.', span=self._clock.span(wait.seconds))}"

    def _button(self, action: Action, offer: Offer) -> Button:
        name, t = offer.resource.title, self._t
        if action is Action.START:
            return Button(action, t("Start"), "play", "", t("It is being started."))
        if action is Action.RESTART:
            ask = t("Restart {name}? What is not saved there is lost.", name=name)
            return Button(action, t("Restart"), "reset", ask, t("It was restarted."))
        if offer.type is CollectionType.POOLED:
            ask = t("Start {name} afresh? You are logged off, and nothing stays on it.", name=name)
            return Button(action, t("Start afresh"), "reset", ask, t("It was given back."))
        ask = t("Switch {name} off and on again? What is not saved there is lost.", name=name)
        return Button(action, t("Switch off and on"), "stop", ask, t("It was switched off and on."))


def screen_href(desktop: str, clock: Clock) -> str:
    """Where the picture of an own desktop's screen is; another one each minute."""
    minute = int(clock.now.timestamp() // 60)
    return f"/api/v1/me/desktops/{quote(desktop, safe='')}/screenshot.png?at={minute}"


def _folder(offer: Offer) -> str:
    return offer.resource.folder or ""
