"""``rdms user``: accounts."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from openrdms.cli import output
from openrdms.cli.admin import AdminSession, open_or_make_admin
from openrdms.cli.commands import command
from openrdms.cli.output import Listing, Result
from openrdms.model.account import MIN_PASSWORD, Role
from openrdms.model.errors import InvalidParameter

COLUMNS = ("name", "role", "groups", "enabled", "password", "ntlm", "sid")

NTLM_WAITS = (
    "NTLM will work after the next sign-in with the password: only its argon2 hash is known now"
)

group = typer.Typer(
    short_help="Accounts: who may sign in, with which role.",
    help="Accounts: who may sign in, with which role. A Kerberos principal (alice@REALM) is an"
    " account without a password.",
)

Name = Annotated[str, typer.Argument(help="Name of the account.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help=f"File with the password in its first line, {MIN_PASSWORD} characters up."),
]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="user")


@command(group, "list", opens=open_or_make_admin)
def list_users(admin: AdminSession) -> Result:
    """List accounts."""
    return Listing(admin.run("user list"), COLUMNS)


@command(group, "show", opens=open_or_make_admin)
def show(admin: AdminSession, name: Name) -> Result:
    """Show an account and the SIDs that security descriptors know it by."""
    return dict(admin.run("user show", name=name))


@command(group, "add", opens=open_or_make_admin)
def add(
    admin: AdminSession,
    name: Name,
    role: Annotated[Role, typer.Option(help="What the account may do.")],
    group: Annotated[
        list[str] | None, typer.Option(help="Group to be in, repeatable; made by naming it.")
    ] = None,
    password_file: PasswordFile = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="For accounts that sign in with Kerberos.")
    ] = False,
) -> Result:
    """Make an account. Its password is asked for on the terminal when no file is named."""
    if password_file and no_password:
        raise typer.BadParameter("--password-file and --no-password exclude each other")
    password = None if no_password else _read_password(password_file, name)
    added = admin.run("user add", name=name, role=role, groups=group or [], password=password)
    return dict(added)


@command(group, "set", opens=open_or_make_admin)
def change(
    admin: AdminSession,
    name: Name,
    role: Annotated[Role | None, typer.Option(help="What the account may do.")] = None,
    add_group: Annotated[list[str] | None, typer.Option(help="Group to join.")] = None,
    remove_group: Annotated[list[str] | None, typer.Option(help="Group to leave.")] = None,
    password_file: PasswordFile = None,
    ntlm: Annotated[
        bool | None,
        typer.Option(
            "--ntlm/--no-ntlm",
            help="Keep the NT hash that NTLM needs, which is as good as the password. Works at"
            " once with --password-file, else from the next sign-in with the password.",
        ),
    ] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it may sign in.")
    ] = None,
) -> Result:
    """Change an account. What is not named stays as it is."""
    changed: dict[str, Any] = admin.run(
        "user set",
        name=name,
        role=role,
        add_groups=add_group or [],
        remove_groups=remove_group or [],
        password=_read_password(password_file, name) if password_file else None,
        ntlm=ntlm,
        enabled=enabled,
    )
    if changed["ntlm"] and changed["enabled"] and not changed["nt_hash"]:
        output.complain(NTLM_WAITS)
    return changed


@command(group, "remove", opens=open_or_make_admin)
def remove(admin: AdminSession, name: Name) -> Result:
    """Remove an account. Its SID is kept for the case that it comes back."""
    admin.run("user remove", name=name)
    return None


@command(group, "reset-second-factor", opens=open_or_make_admin)
def reset_second_factor(admin: AdminSession, name: Name) -> Result:
    """Have the device of an account hold no more, for who has lost it and its recovery codes."""
    admin.run("user reset-second-factor", name=name)
    return None


def _read_password(file: Path | None, name: str) -> str:
    """From the file, or from whoever sits at the terminal."""
    if file:
        try:
            with file.open(encoding="utf-8") as lines:
                return lines.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidParameter("--password-file", str(error)) from error
    if not sys.stdin.isatty():
        raise typer.BadParameter("--password-file or --no-password is needed here")
    password = getpass.getpass(f"New password of {name}: ")
    if password != getpass.getpass("Once more: "):
        raise InvalidParameter("password", "the two are not the same")
    return password
