"""``rdms session``: the users logged on inside desktops."""

from __future__ import annotations

from typing import Annotated

import typer

from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.output import Listing, Result, Words
from openrdms.cli.rdms_client import RdmsClient, quote
from openrdms.model.session import CONNECT_STATES

CLASS = "Win32_VirtualDesktopSession"
COLUMNS = ("VMHostName", "SessionId", "VMName", "UserName", "ConnectState", "CollectionId")
MESSAGED = ("VMHostName", "SessionId", "VMName", "UserName", "Result", "Reason")
WORDS: Words = {"ConnectState": dict(enumerate(CONNECT_STATES))}

group = typer.Typer(help="Sessions of users: list, message, disconnect, log off.")

HostName = Annotated[str, typer.Argument(metavar="HOST", help="Hypervisor host (VMHostName).")]
SessionId = Annotated[int, typer.Argument(metavar="SESSION", help="SessionId on that host.")]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="session")


@command(group, "list", opens=open_rdms)
def list_sessions(
    rdms: RdmsClient,
    collection: Annotated[str, typer.Option(help="Only those of this collection.")] = "",
) -> Result:
    """List sessions."""
    where = f"CollectionId = {quote(collection)}" if collection else ""
    return Listing(list(rdms.enumerate(CLASS, where)), COLUMNS, WORDS)


@command(group, "message", opens=open_rdms)
def send_message(
    rdms: RdmsClient,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="HOST SESSION TEXT",
            help="Where, and what the user shall read. With --collection: TITLE TEXT.",
        ),
    ],
    title: Annotated[str, typer.Option(help="Title of the message.")] = "Message",
    collection: Annotated[str, typer.Option(help="Message all its sessions.")] = "",
) -> Result:
    """Show a message on the user's screen, or on those of all users of a collection."""
    if collection:
        if len(words) != 2:
            raise typer.BadParameter("with --collection give TITLE TEXT")
        return Listing(rdms.message_all(collection, *words), MESSAGED)
    if len(words) != 3 or not words[1].isdecimal():
        raise typer.BadParameter("give HOST SESSION TEXT; SESSION is a number")
    host, session, text = words
    rdms.invoke(CLASS, "SendMessage", _keys(host, int(session)), Title=title, Message=text)
    return None


@command(group, "disconnect", opens=open_rdms)
def disconnect(rdms: RdmsClient, host: HostName, session: SessionId) -> Result:
    """Disconnect a session and leave it running."""
    rdms.invoke(CLASS, "Disconnect", _keys(host, session))
    return None


@command(group, "logoff", opens=open_rdms)
def log_off(rdms: RdmsClient, host: HostName, session: SessionId) -> Result:
    """End a session."""
    rdms.invoke(CLASS, "Logoff", _keys(host, session))
    return None


def _keys(host: str, session: int) -> dict[str, str | int]:
    return {"VMHostName": host, "SessionId": session}
