"""Paths that do not exist: nobody learns which do without signing in."""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter

from openrdms.model.errors import NotFound

router = APIRouter(include_in_schema=False)


@router.api_route(
    "/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], response_model=None
)
def refuse(path: str = "") -> NoReturn:
    """NotFound."""
    raise NotFound(f"there is no resource /{path}")
