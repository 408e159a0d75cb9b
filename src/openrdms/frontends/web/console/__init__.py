"""The console for administrators, below /console: one module for each page."""

from __future__ import annotations

from fastapi import APIRouter

from openrdms.frontends.web.console import hosts

router = APIRouter(include_in_schema=False)
for _page in (hosts,):
    router.include_router(_page.router)
