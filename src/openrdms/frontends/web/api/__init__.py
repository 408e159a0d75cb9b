"""The REST API, /api/v1: one file for each resource."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from openrdms.frontends.web.api import (
    applications,
    assignments,
    audit,
    collections,
    desktops,
    display,
    events,
    hosts,
    images,
    jobs,
    me,
    me_desktops,
    me_events,
    me_messages,
    me_totp,
    metrics,
    rdp,
    session_collections,
    sessions,
    settings,
    tasks,
    unknown,
    users,
)
from openrdms.frontends.web.back_pressure import admit
from openrdms.frontends.web.visitors import get_visitor

PREFIX = "/api/v1"

_PARTS = (
    applications,
    assignments,
    audit,
    collections,
    desktops,
    display,
    hosts,
    images,
    jobs,
    me,
    me_desktops,
    me_messages,
    me_totp,
    metrics,
    rdp,
    session_collections,
    sessions,
    settings,
    tasks,
    users,
)

router = APIRouter(dependencies=[Depends(get_visitor)])
router.add_api_route("", unknown.refuse, include_in_schema=False, response_model=None)
router.include_router(events.router)
router.include_router(me_events.router)
for _part in _PARTS:
    router.include_router(_part.router, dependencies=[Depends(admit)])
router.include_router(unknown.router)  # last: it takes what nothing else took
