"""Accounts and the tokens of their programs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, SecretStr

from openrdms.cim.guard import CREATE, DELETE, ENUMERATE, GET, MODIFY
from openrdms.cim.types import CimValue
from openrdms.frontends.web.api.shapes import Input, Line, Moment, Name, example
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.fields import renamed
from openrdms.frontends.web.idempotency import IdempotentRoute
from openrdms.frontends.web.paging import Page, Paging, Part
from openrdms.frontends.web.visitors import Reader, Refused, Writer
from openrdms.model.account import MAX_NAME, Account, Role
from openrdms.model.errors import NotFound
from openrdms.model.web_session import MAX_TOKEN_NAME, ApiToken, Scope
from openrdms.security.accounts import Change

router = APIRouter(prefix="/users", tags=["users"], route_class=IdempotentRoute)

_CLASS = "OpenRDMS_Account"
_FIELDS = {"group": "add_groups", "remove-group": "remove_groups"}

Password = Annotated[SecretStr, Field(max_length=1024)]
Groups = Annotated[list[Line], Field(max_length=1000, default_factory=list)]


class User(BaseModel):
    """An account. ``from_options`` is the one whose password the service's options say.

    ``source`` is the directory that decides its role, groups and password; "" for none.
    """

    name: str
    role: Role
    groups: list[str]
    enabled: bool
    ntlm: bool
    from_options: bool
    source: str
    directory_groups: list[str]
    sid: str
    created: datetime
    changed: datetime


class NewUser(Input):
    """An account to be made; without a password it cannot sign in with one."""

    model_config = example(name="alice", role="helpdesk", groups=["staff"])

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    role: Annotated[Role, Field(strict=False)]
    groups: Groups
    password: Password | None = None


class UserChange(Input):
    """What is left out, or null, stays as it is."""

    role: Annotated[Role | None, Field(strict=False)] = None
    enabled: bool | None = None
    ntlm: bool | None = None
    password: Password | None = None
    add_groups: Groups
    remove_groups: Groups


class Token(BaseModel):
    """A token of an account. Its secret is told once, when it is made."""

    id: str
    name: str
    scopes: list[Scope]
    created: datetime
    expires: datetime | None


class Tokens(BaseModel):
    """In order of their creation."""

    items: list[Token]


class NewToken(Input):
    """A token to be made."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN_NAME)]
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1)]
    expires: Moment | None = None


class TokenSecret(Token):
    """What a program sends: Authorization: Bearer SECRET."""

    secret: str


def read_page(
    backend: Backend, part: Part, search: str = "", role: Role | None = None
) -> Page[User]:
    """Accounts in order of name; ``search`` is a part of a name or of a group's."""
    text = search.casefold()
    found = [
        account
        for account in backend.accounts.list()
        if role in (None, account.role)
        and any(text in name.casefold() for name in (account.name, *account.groups))
    ]
    return part.cut(found, lambda one: one.name.casefold(), _render)


def render_token(token: ApiToken) -> Token:
    """A token as it is told."""
    return Token(
        id=token.id,
        name=token.name,
        scopes=[Scope(scope) for scope in token.scopes],
        created=token.created,
        expires=token.expires,
    )


def _render(account: Account) -> User:
    return User(
        **{name: getattr(account, name) for name in User.model_fields if "groups" not in name},
        groups=list(account.groups),
        directory_groups=list(account.directory_groups),
    )


def _reveal(password: SecretStr | None) -> str | None:
    return password.get_secret_value() if password else None


@router.get("")
def list_users(
    visitor: Reader,
    part: Paging,
    search: Annotated[str, Query(max_length=256)] = "",
    role: Role | None = None,
) -> Page[User]:
    """Accounts in order of name."""
    with visitor.watch(_CLASS, ENUMERATE):
        return read_page(visitor.backend, part, search, role)


@router.post("", status_code=201)
def create_user(visitor: Writer, new: NewUser, response: Response) -> User:
    """Make an account."""
    values: dict[str, CimValue] = {"role": new.role.value, "groups": [*new.groups]}
    with (
        renamed({"group": "groups"}),
        visitor.watch(_CLASS, CREATE, on={"Name": new.name}, values=values),
    ):
        made = visitor.backend.accounts.add(
            new.name, new.role, groups=new.groups, password=_reveal(new.password)
        )
    response.headers["location"] = f"/api/v1/users/{quote(made.name, safe='')}"
    return _render(made)


@router.get("/{name}")
def get_user(visitor: Reader, name: Name) -> User:
    """One account."""
    with visitor.watch(_CLASS, GET, on={"Name": name}):
        return _render(visitor.backend.accounts.get(name))


@router.patch("/{name}")
def change_user(visitor: Writer, name: Name, change: UserChange) -> User:
    """Change an account; a new password ends its sessions, tokens and RDP files."""
    wanted = Change(
        role=change.role,
        add_groups=tuple(change.add_groups),
        remove_groups=tuple(change.remove_groups),
        password=_reveal(change.password),
        ntlm=change.ntlm,
        enabled=change.enabled,
        revoke=change.password is not None,
    )
    values: dict[str, CimValue] = {
        "role": change.role.value if change.role else None,
        "add_groups": [*change.add_groups],
        "remove_groups": [*change.remove_groups],
        "enabled": change.enabled,
        "ntlm": change.ntlm,
        "password": "" if change.password else None,
    }
    with (
        renamed(_FIELDS),
        visitor.watch(_CLASS, MODIFY, on={"Name": name}, values=values),
    ):
        return _render(visitor.backend.accounts.change(name, wanted))


@router.delete("/{name}", status_code=204)
def remove_user(visitor: Writer, name: Name) -> None:
    """Remove an account; its SID stays with the name."""
    with visitor.watch(_CLASS, DELETE, on={"Name": name}):
        visitor.backend.accounts.remove(name)


@router.delete("/{name}/totp", status_code=204)
def reset_second_factor(visitor: Writer, name: Name) -> None:
    """Have the account's device hold no more, for who has lost it; who needs one gets a new one."""
    with visitor.watch(_CLASS, "ResetSecondFactor", on={"Name": name}):
        account = visitor.backend.accounts.get(name)
        visitor.backend.sign_in.second_factors.remove(account)


@router.get("/{name}/tokens")
def list_tokens(visitor: Reader, name: Name) -> Tokens:
    """Tokens of an account."""
    with visitor.watch(_CLASS, GET, on={"Name": name}):
        account = visitor.backend.accounts.get(name)
        found = visitor.backend.api_tokens.list(account.name)
        return Tokens(items=[render_token(token) for token in found])


@router.post("/{name}/tokens", status_code=201)
def create_token(visitor: Writer, name: Name, new: NewToken) -> TokenSecret:
    """Make a token. Not with a token: it could give itself more scopes than it has."""
    if visitor.token:
        raise Refused("a token cannot make tokens: sign in with a browser")
    with visitor.watch(_CLASS, "CreateToken", on={"Name": name}, values={"name": new.name}):
        secret, token = visitor.backend.api_tokens.make(name, new.name, new.scopes, new.expires)
    return TokenSecret(**render_token(token).model_dump(), secret=secret)


@router.delete("/{name}/tokens/{token_id}", status_code=204)
def remove_token(visitor: Writer, name: Name, token_id: Name) -> None:
    """Have a token hold no more."""
    with visitor.watch(_CLASS, "RemoveToken", on={"Name": name}, values={"name": token_id}):
        account = visitor.backend.accounts.get(name)
        if token_id not in {one.id for one in visitor.backend.api_tokens.list(account.name)}:
            raise NotFound(f"{account.name!r} has no token {token_id!r}")
        visitor.backend.api_tokens.remove(token_id)
