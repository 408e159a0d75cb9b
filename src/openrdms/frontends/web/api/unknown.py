"""Paths that do not exist, and methods that a path does not have: nobody learns which are there
without signing in.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NoReturn

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from openrdms.model.errors import NotFound

router = APIRouter(include_in_schema=False)

_PARAMETER = re.compile(r"\{[^}]*\}")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@router.api_route("/{path:path}", methods=[*_METHODS], response_model=None)
def refuse(request: Request, path: str = "") -> NoReturn:
    """NotFound; 405 with the methods there are."""
    allowed = _find_methods(request)
    if allowed:
        headers = {"allow": ", ".join(sorted(allowed))}
        raise HTTPException(405, f"/{path} has no method {request.method}", headers)
    raise NotFound(f"there is no resource /{path}")


def _find_methods(request: Request) -> set[str]:
    """Those that the description has for this path, by the template that says most of it."""
    paths = request.app.openapi()["paths"]
    fitting = [template for template in paths if _compile(template).match(request.url.path)]
    best = max(fitting, key=lambda template: len(_PARAMETER.sub("", template)), default=None)
    return {method.upper() for method in paths[best]} if best else set()


@cache
def _compile(template: str) -> re.Pattern[str]:
    return compile_path(template)[0]
