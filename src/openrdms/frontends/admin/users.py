"""The commands about accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from openrdms.frontends.admin.target import Progress, Target
from openrdms.model import errors
from openrdms.model.account import Account, Role
from openrdms.security.accounts import Change


def list_users(target: Target, _: Progress) -> list[dict[str, Any]]:
    return [_describe_user(target, account) for account in target.accounts.list()]


def show_user(target: Target, _: Progress, *, name: str) -> dict[str, Any]:
    account = target.accounts.get(name)
    sids = sorted(target.accounts.find_sids(name))
    return _describe_user(target, account) | {"sids": sids}


def add_user(
    target: Target,
    _: Progress,
    *,
    name: str,
    role: str,
    groups: Sequence[str],
    password: str | None,
) -> dict[str, Any]:
    account = target.accounts.add(name, _read_role(role), groups=groups, password=password)
    return _describe_user(target, account)


def change_user(
    target: Target,
    _: Progress,
    *,
    name: str,
    role: str | None,
    add_groups: Sequence[str],
    remove_groups: Sequence[str],
    password: str | None,
    ntlm: bool | None,
    enabled: bool | None,
) -> dict[str, Any]:
    change = Change(
        role=None if role is None else _read_role(role),
        add_groups=tuple(add_groups),
        remove_groups=tuple(remove_groups),
        password=password,
        ntlm=ntlm,
        enabled=enabled,
        revoke=password is not None,
    )
    return _describe_user(target, target.accounts.change(name, change))


def remove_user(target: Target, _: Progress, *, name: str) -> None:
    target.accounts.remove(name)


def reset_second_factor(target: Target, _: Progress, *, name: str) -> None:
    target.second_factors.remove(target.accounts.get(name))


def _read_role(role: str) -> Role:
    try:
        return Role(role)
    except ValueError as error:
        raise errors.InvalidParameter("role", str(error)) from error


def _describe_user(target: Target, account: Account) -> dict[str, Any]:
    """An account in JSON values, without its password's hash."""
    return {
        "name": account.name,
        "role": account.role,
        "groups": account.groups,
        "enabled": account.enabled,
        "source": account.source,
        "password": bool(account.password_hash),
        "second_factor": target.second_factors.has(account),
        "ntlm": account.ntlm,
        "from_options": account.from_options,
        "nt_hash": target.accounts.has_nt_hash(account.name),
        "sid": account.sid,
        "created": account.created.isoformat(),
        "changed": account.changed.isoformat(),
    }
