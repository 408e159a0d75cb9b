"""Who asks, and what proves it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from openrdms.frontends.web.api.shapes import Input, Line
from openrdms.frontends.web.paging import Page, Paging
from openrdms.frontends.web.signing_in import set_cookie
from openrdms.frontends.web.visitors import COOKIE, AnyVisitor, Fresh, Refused, Visitor
from openrdms.model.account import Role
from openrdms.model.errors import InvalidParameter, NotFound
from openrdms.model.web_session import MAX_TOKEN_NAME, ApiToken, Scope
from openrdms.security.accounts import Change

router = APIRouter(prefix="/me", tags=["me"])

_CLASS = "OpenRDMS_OwnAccount"

Password = Annotated[str, Field(min_length=1, max_length=1024)]


class Me(BaseModel):
    """An account, as its owner sees it. ``scopes`` is None for a browser, which has them all."""

    name: str
    role: Role
    groups: list[str]
    scopes: list[Scope] | None


class Proof(Input):
    """What only the owner of the account knows; ``code`` is his device's, where he has one."""

    password: Password
    code: Annotated[str, Field(max_length=64)] = ""


class NewPassword(Input):
    """The password from now on."""

    password: Password


class Token(BaseModel):
    """What a program sends instead of a password."""

    id: str
    name: str
    scopes: list[str]
    created: datetime
    expires: datetime | None


class MadeToken(Token):
    """A new one; its ``secret`` is told this once."""

    secret: str


class WantedToken(Input):
    """``expires`` null: when it is removed."""

    name: Annotated[Line, Field(min_length=1, max_length=MAX_TOKEN_NAME)]
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1)]
    expires: Annotated[datetime | None, Field(strict=False)] = None


@router.get("")
def show(visitor: AnyVisitor) -> Me:
    """Who the cookie or the token belongs to."""
    return Me(
        name=visitor.account.name,
        role=visitor.account.role,
        groups=list(visitor.account.groups),
        scopes=[Scope(scope) for scope in visitor.token.scopes] if visitor.token else None,
    )


@router.post("/proof", status_code=204)
def prove(visitor: AnyVisitor, proof: Proof) -> Response:
    """Give the password again: for some minutes, password and tokens may be changed."""
    if visitor.session is None:
        raise Refused("a token is not enough: this needs a browser's session")
    backend = visitor.backend
    backend.sign_in.prove_again(visitor.account, proof.password, proof.code, visitor.address)
    backend.web_sessions.prove(visitor.session)
    return Response(status_code=204)


@router.put("/password", status_code=204)
def change_password(visitor: Fresh, new: NewPassword) -> Response:
    """Another password. All other browsers must sign in with it; tokens go on to be good."""
    backend = visitor.backend
    with visitor.watch(_CLASS, "ChangePassword", on={"Name": visitor.account.name}):
        account = backend.accounts.change(visitor.account.name, Change(password=new.password))
    backend.web_sessions.end_all(account.name)
    secret, _ = backend.web_sessions.begin(account, visitor.address)
    reply = Response(status_code=204)
    set_cookie(reply, COOKIE, secret)
    return reply


@router.get("/tokens")
def list_tokens(visitor: Fresh, part: Paging) -> Page[Token]:
    """The account's own."""
    found = visitor.backend.api_tokens.list(visitor.account.name)
    return part.cut(found, lambda one: one.id, _render)


@router.post("/tokens", status_code=201)
def make_token(visitor: Fresh, wanted: WantedToken) -> MadeToken:
    """A new one. Users can have them for their own desktops only."""
    _check_wanted(visitor, wanted)
    on = {"Name": visitor.account.name}
    with visitor.watch(_CLASS, "CreateToken", on=on, values={"TokenName": wanted.name}):
        secret, token = visitor.backend.api_tokens.make(
            visitor.account.name, wanted.name, wanted.scopes, wanted.expires
        )
    return MadeToken(secret=secret, **_render(token).model_dump())


@router.delete("/tokens/{token_id}", status_code=204)
def remove_token(visitor: Fresh, token_id: str) -> Response:
    """It is good for nothing from now on."""
    tokens = visitor.backend.api_tokens
    if token_id not in {token.id for token in tokens.list(visitor.account.name)}:
        raise NotFound(f"you have no token {token_id!r}")
    with visitor.watch(_CLASS, "DeleteToken", on={"Name": visitor.account.name}):
        tokens.remove(token_id)
    return Response(status_code=204)


def _check_wanted(visitor: Visitor, wanted: WantedToken) -> None:
    if not visitor.is_staff and set(wanted.scopes) != {Scope.CONNECT}:
        raise InvalidParameter("scopes", "users can have only connect")
    if wanted.expires is not None and wanted.expires.tzinfo is None:
        raise InvalidParameter("expires", "needs a time zone")


def _render(token: ApiToken) -> Token:
    return Token(
        id=token.id,
        name=token.name,
        scopes=list(token.scopes),
        created=token.created,
        expires=token.expires,
    )
