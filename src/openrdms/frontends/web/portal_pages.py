"""The portal: a user's desktops and applications."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from openrdms.frontends.web.pages import page
from openrdms.frontends.web.visitors import AnyVisitor

router = APIRouter(include_in_schema=False)


@router.get("/")
def show(request: Request, visitor: AnyVisitor) -> Response:
    """Tiles."""
    return page(request, "portal.html", visitor)
