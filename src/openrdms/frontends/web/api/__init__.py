"""The REST API, /api/v1: one file for each resource."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from openrdms.frontends.web.api import events, me, unknown
from openrdms.frontends.web.visitors import get_visitor

PREFIX = "/api/v1"

router = APIRouter(prefix=PREFIX, dependencies=[Depends(get_visitor)])
router.add_api_route("", unknown.refuse, include_in_schema=False, response_model=None)
for _part in (events, me, unknown):  # unknown last: it takes what nothing else took
    router.include_router(_part.router)
