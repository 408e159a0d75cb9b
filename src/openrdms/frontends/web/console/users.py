"""Users: accounts, their roles and groups, and their tokens."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from openrdms.cim import guard
from openrdms.frontends.web.console.shell import PREFIX, show
from openrdms.frontends.web.visitors import Reader
from openrdms.model.account import Role

CLASS = "OpenRDMS_Account"

router = APIRouter(prefix=f"{PREFIX}/users")


@router.get("")
def list_users(request: Request, visitor: Reader, search: str = "", role: str = "") -> Response:
    """Those whose name or group has the text."""
    wanted = search.casefold()
    with visitor.watch(CLASS, guard.ENUMERATE):
        accounts = [
            account
            for account in visitor.backend.accounts.list()
            if any(wanted in name.casefold() for name in (account.name, *account.groups))
            and role in ("", account.role)
        ]
    query = {"search": search, "role": role}
    return show(request, visitor, "users.html", accounts=accounts, roles=list(Role), query=query)


@router.get("/{name}")
def show_user(request: Request, visitor: Reader, name: str) -> Response:
    """One, with his tokens."""
    backend = visitor.backend
    with visitor.watch(CLASS, guard.GET, on={"Name": name}):
        account = backend.accounts.get(name)
        tokens = backend.api_tokens.list(account.name)
    return show(request, visitor, "user.html", account=account, tokens=tokens, roles=list(Role))
