"""Collections of session hosts: what an administrator has made of them over WS-Management."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from openrdms.cim.guard import ENUMERATE, GET
from openrdms.frontends.web.api.applications import Application, render_application
from openrdms.frontends.web.api.shapes import Name
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.paging import Page, Paging
from openrdms.frontends.web.visitors import Reader
from openrdms.model import property_keys
from openrdms.model.session_host import SessionCollection as Record

router = APIRouter(prefix="/session-collections", tags=["session collections"])

_CLASS = "Win32_RDSHCollection"


class Type(StrEnum):
    """Users share the servers of a pooled one; of a personal one each has a server of his own, by
    an administrator (manual) or as he comes first (auto).
    """

    POOLED = "pooled"
    MANUAL_PERSONAL = "personal"
    AUTO_PERSONAL = "personal-auto"


class State(StrEnum):
    """What was said last of a server; this service does not ask it."""

    UNKNOWN = "unknown"
    INITIALIZING = "initializing"
    RUNNING = "running"
    DOWN = "down"
    HIBERNATED = "hibernated"
    STOPPED = "stopped"
    INVALID = "invalid"
    STARTING = "starting"
    STOPPING = "stopping"


class SessionCollection(BaseModel):
    """A collection; ``servers`` says how many session hosts it has."""

    alias: str
    name: str
    type: Type
    description: str | None
    servers: int


class SessionHost(BaseModel):
    """A session host; ``broker`` is the server that it takes its users from."""

    name: str
    broker: str
    state: State


class Setting(BaseModel):
    """A property that was set, by its key, such as MaxMonitors or DisconnectedSessionLimit."""

    key: str
    value: int | str


class SessionCollectionDetail(SessionCollection):
    """With its servers, settings and what it publishes; without applications its desktop is
    published.
    """

    session_hosts: list[SessionHost]
    settings: list[Setting]
    applications: list[Application]


@router.get("")
def list_session_collections(
    visitor: Reader, part: Paging, search: Annotated[str, Query(max_length=256)] = ""
) -> Page[SessionCollection]:
    """Session collections in order of alias."""
    text = search.casefold()
    with visitor.watch(_CLASS, ENUMERATE):
        session_hosts = visitor.backend.session_hosts
        servers = Counter(one.collection.casefold() for one in session_hosts.list_servers())
        found = [
            one
            for one in session_hosts.list_collections()
            if text in one.alias.casefold() or text in one.name.casefold()
        ]
        return part.cut(
            found,
            lambda one: one.alias.casefold(),
            lambda one: _render(one, servers[one.alias.casefold()]),
        )


@router.get("/{alias}")
def get_session_collection(visitor: Reader, alias: Name) -> SessionCollectionDetail:
    """One session collection."""
    backend = visitor.backend
    with visitor.watch(_CLASS, GET, on={"Alias": alias}):
        record = backend.session_hosts.get_collection(alias)
        hosts = backend.session_hosts.list_servers(record.alias)
        applications = backend.publishing.list_applications(record.alias)
        return SessionCollectionDetail(
            **vars(_render(record, len(hosts))),
            session_hosts=[
                SessionHost(name=one.name, broker=one.broker, state=State[one.state.name])
                for one in hosts
            ],
            settings=_find_settings(backend, record.alias),
            applications=[render_application(one) for one in applications],
        )


def _render(record: Record, servers: int) -> SessionCollection:
    return SessionCollection(
        alias=record.alias,
        name=record.name,
        type=Type[record.type.name],
        description=record.description,
        servers=servers,
    )


def _find_settings(backend: Backend, alias: str) -> list[Setting]:
    keys = property_keys.SESSION_COLLECTION.names
    found = [(key, backend.session_hosts.find_collection_property(alias, key)) for key in keys]
    return [Setting(key=key, value=value) for key, value in found if value is not None]
