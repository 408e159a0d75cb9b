"""The console for administrators, below /console: one module for each page."""

from __future__ import annotations

from fastapi import APIRouter

from openrdms.frontends.web.console import (
    audit,
    collections,
    desktops,
    hosts,
    images,
    jobs,
    overview,
    sessions,
    settings,
    users,
)

router = APIRouter(include_in_schema=False)
for _page in (
    overview,
    collections,
    desktops,
    sessions,
    jobs,
    hosts,
    images,
    audit,
    users,
    settings,
):
    router.include_router(_page.router)
