"""Which RDMS a command speaks to: options, environment, profile."""

from __future__ import annotations

import getpass
import json
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from openrdms.cli import output, rdms_client
from openrdms.cli.commands import Unreachable
from openrdms.model import errors

_PROFILE_KEYS = {"url", "user", "password_file", "ca", "insecure"}

Profile = Annotated[
    str, typer.Option(envvar="RDMS_PROFILE", help="Profile of ~/.config/rdms/config.toml.")
]
Url = Annotated[str, typer.Option(envvar="RDMS_URL", help="WS-Management address, http(s)://…")]
User = Annotated[str, typer.Option(envvar="RDMS_USER", help="User name.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(envvar="RDMS_PASSWORD_FILE", help="File with the password in its first line."),
]
Ca = Annotated[
    Path | None, typer.Option(envvar="RDMS_CA", help="Certificate (PEM) to trust, and no other.")
]
ReadyFile = Annotated[
    Path | None,
    typer.Option(envvar="RDMS_READY_FILE", help="Take the address from a service's ready file."),
]


@contextmanager
def open_rdms(
    profile: Profile = "",
    url: Url = "",
    user: User = "",
    password_file: PasswordFile = None,
    ca: Ca = None,
    ready_file: ReadyFile = None,
) -> Iterator[rdms_client.RdmsClient]:
    """A client of the RDMS that options, environment and profile (in this order) name."""
    known = _read_profile(profile)
    ca = ca or _path(known.get("ca"))
    address = url or (_read_ready_file(ready_file, ca) if ready_file else known.get("url", ""))
    name = user or known.get("user", "")
    if not address or not name:
        raise typer.BadParameter("which RDMS? Give --url and --user, or a profile")
    login = rdms_client.Login(
        url=address,
        user=name,
        password=_password(password_file or _path(known.get("password_file")), name),
        ca=ca,
        insecure=_insecure(known),
    )
    with rdms_client.RdmsClient(login) as client:
        yield client


def _read_profile(name: str) -> Mapping[str, Any]:
    """A profile, the default one for "", empty when there is no such file and none was asked."""
    file = _config_home() / "rdms" / "config.toml"
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        settings = {}
    except tomllib.TOMLDecodeError as error:
        raise errors.InvalidParameter(str(file), str(error)) from error
    chosen = name or settings.get("default", "")
    profile = settings.get("profile", {}).get(chosen)
    if chosen and profile is None:
        raise typer.BadParameter(f"{file} has no [profile.{chosen}]")
    unknown = set(profile or {}) - _PROFILE_KEYS
    if unknown:
        raise errors.InvalidParameter(f"{file}: profile.{chosen}", f"unknown: {sorted(unknown)}")
    return profile or {}


def _config_home() -> Path:
    """The XDG base directory of configuration."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _read_ready_file(file: Path, ca: Path | None) -> str:
    """The address in a ready file: TLS when we can check it, else plain HTTP (loopback only)."""
    try:
        ready = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise Unreachable(f"{file}: no service is ready: {error}") from error
    preferred = ("wsman_https", "wsman_http") if ca else ("wsman_http", "wsman_https")
    return next((str(ready[key]) for key in preferred if ready.get(key)), "")


def _password(file: Path | None, user: str) -> str:
    if file:
        try:
            with file.open(encoding="utf-8") as lines:
                return lines.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise errors.InvalidParameter("--password-file", str(error)) from error
    if sys.stdin.isatty():
        return getpass.getpass(f"Password of {user}: ")
    raise typer.BadParameter("--password-file is needed where nobody can be asked")


def _insecure(profile: Mapping[str, Any]) -> bool:
    insecure = profile.get("insecure", False) is True
    if insecure:
        output.complain("insecure = true: the server's certificate is not checked")
    return insecure


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None
