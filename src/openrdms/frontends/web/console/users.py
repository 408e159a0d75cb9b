"""Users: accounts, their roles and groups, and their tokens."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from openrdms.cim import guard
from openrdms.frontends.web.api.users import read_page
from openrdms.frontends.web.console.shell import PREFIX, show
from openrdms.frontends.web.paging import Paging
from openrdms.frontends.web.visitors import Reader
from openrdms.model.account import Role

CLASS = "OpenRDMS_Account"

router = APIRouter(prefix=f"{PREFIX}/users")


@router.get("")
def list_users(
    request: Request,
    visitor: Reader,
    part: Paging,
    search: Annotated[str, Query(max_length=256)] = "",
    role: Role | None = None,
    cursor: str = "",
) -> Response:
    """Those whose name or group has the text."""
    with visitor.watch(CLASS, guard.ENUMERATE):
        found = read_page(visitor.backend, part, search, role)
    return show(
        request,
        visitor,
        "users.html",
        page=found,
        roles=list(Role),
        query={"search": search, "role": role},
        cursor=cursor,
    )


@router.get("/{name}")
def show_user(request: Request, visitor: Reader, name: str) -> Response:
    """One, with his tokens."""
    backend = visitor.backend
    with visitor.watch(CLASS, guard.GET, on={"Name": name}):
        account = backend.accounts.get(name)
        tokens = backend.api_tokens.list(account.name)
        has_factor = backend.sign_in.second_factors.has(account)
    return show(
        request,
        visitor,
        "user.html",
        account=account,
        tokens=tokens,
        has_factor=has_factor,
        roles=list(Role),
    )
