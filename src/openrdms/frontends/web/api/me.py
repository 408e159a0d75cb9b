"""Who asks."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from openrdms.frontends.web.visitors import AnyVisitor
from openrdms.model.account import Role
from openrdms.model.web_session import Scope

router = APIRouter(prefix="/me", tags=["me"])


class Me(BaseModel):
    """An account, as its owner sees it. ``scopes`` is None for a browser, which has them all."""

    name: str
    role: Role
    groups: list[str]
    scopes: list[Scope] | None


@router.get("")
def show(visitor: AnyVisitor) -> Me:
    """Who the cookie or the token belongs to."""
    return Me(
        name=visitor.account.name,
        role=visitor.account.role,
        groups=list(visitor.account.groups),
        scopes=[Scope(scope) for scope in visitor.token.scopes] if visitor.token else None,
    )
