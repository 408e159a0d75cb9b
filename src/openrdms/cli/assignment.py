"""``rdms assignment``: who a personal desktop or session host belongs to, also as CSV files.

The files have the columns of the stock cmdlets: VirtualDesktopName and User for desktops,
CollectionName, DesktopName and User for session hosts; User is DOMAIN\\NAME.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Protocol

import typer

from openrdms.cli import output
from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.output import Listing, Result
from openrdms.cli.rdms_client import RdmsClient, Refused, quote
from openrdms.model import errors
from openrdms.model.errors import WbemCode

COLLECTION = "Win32_RDMSVirtualDesktopCollection"
DESKTOP = "Win32_RDMSVirtualDesktop"
SESSION_HOST = "Win32_RDMSDesktopAssignment"
COLUMNS = ("CollectionName", "DesktopName", "User")

group = typer.Typer(help="Personal desktops and session hosts: list, set, remove, export, import.")

Collection = Annotated[str, typer.Argument(help="Alias of the collection.")]
Desktop = Annotated[str, typer.Argument(help="Name of the desktop or session host.")]
Owner = Annotated[str, typer.Argument(metavar="USER", help="The user, as DOMAIN\\NAME or NAME.")]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="assignment")


@command(group, "list", opens=open_rdms)
def list_assignments(
    rdms: RdmsClient,
    collection: Collection,
    of: Annotated[str, typer.Option(help="Only this user's.")] = "",
) -> Result:
    """List who has what of a collection."""
    rows = _of(rdms, collection).read_all()
    return Listing([row for row in rows if not of or _same(row["User"], of)], COLUMNS)


@command(group, "set", opens=open_rdms)
def assign(rdms: RdmsClient, collection: Collection, desktop: Desktop, owner: Owner) -> Result:
    """Assign a desktop to a user."""
    _of(rdms, collection).add(desktop, *_split(owner))
    return None


@command(group, "remove", opens=open_rdms)
def unassign(rdms: RdmsClient, collection: Collection, desktop: Desktop) -> Result:
    """Take a desktop from its user."""
    _of(rdms, collection).remove(desktop)
    return None


@command(group, "export", opens=open_rdms)
def export(rdms: RdmsClient, collection: Collection, file: Path) -> Result:
    """Write a collection's assignments to a new CSV file."""
    kind = _of(rdms, collection)
    rows = kind.read_all()
    with file.open("x", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(kind.columns)
        writer.writerows(kind.render(row) for row in rows)
    return {"file": str(file), "assignments": len(rows)}


@command(group, "import", opens=open_rdms)
def import_(rdms: RdmsClient, collection: Collection, file: Path) -> Result:
    """Assign as a CSV file says; whoever had the desktop loses it."""
    kind = _of(rdms, collection)
    failed = 0
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(_read(stream, kind.columns))
    for desktop, user in rows:
        try:
            kind.replace(desktop, *_split(user))
        except Refused as refusal:
            failed += 1
            output.complain(f"{desktop}: {refusal}")
    if failed:
        raise errors.OperationFailed(f"{failed} of {len(rows)} assignments were refused")
    return {"assignments": len(rows)}


class _Kind(Protocol):
    """Assignments of one collection."""

    columns: tuple[str, ...]

    def read_all(self) -> list[dict[str, str]]: ...
    def add(self, desktop: str, domain: str, user: str) -> None: ...
    def remove(self, desktop: str) -> None: ...
    def replace(self, desktop: str, domain: str, user: str) -> None: ...
    def render(self, row: dict[str, str]) -> tuple[str, ...]: ...


class _Desktops:
    """Of a collection of virtual desktops."""

    columns: tuple[str, ...] = ("VirtualDesktopName", "User")

    def __init__(self, rdms: RdmsClient, collection: str) -> None:
        self._rdms = rdms
        self._collection = collection

    def read_all(self) -> list[dict[str, str]]:
        where = f"CollectionAlias = {quote(self._collection)} AND UserName != null"
        return [
            _row(self._collection, one["Name"], one["UserDomain"], one["UserName"])
            for one in self._rdms.enumerate(DESKTOP, where)
        ]

    def add(self, desktop: str, domain: str, user: str) -> None:
        keys = {"Name": desktop}
        self._rdms.invoke(DESKTOP, "SetUserAssignment", keys, UserName=user, UserDomain=domain)

    def remove(self, desktop: str) -> None:
        self._rdms.invoke(DESKTOP, "RemoveUserAssignment", VMName=desktop)

    def replace(self, desktop: str, domain: str, user: str) -> None:
        """Free the desktop, then the user, as the stock import does."""
        self.remove(desktop)
        given = {"UserName": user, "UserDomain": domain}
        found = self._rdms.invoke(
            *(DESKTOP, "GetVirtualDesktopAssignedToUser"),
            CollectionAlias=self._collection,
            **given,
        )
        if found["VMName"]:
            self.remove(str(found["VMName"]))
        self.add(desktop, domain, user)

    def render(self, row: dict[str, str]) -> tuple[str, ...]:
        return row["DesktopName"], row["User"]


class _SessionHosts:
    """Of a session collection."""

    columns: tuple[str, ...] = COLUMNS

    def __init__(self, rdms: RdmsClient, collection: str) -> None:
        self._rdms = rdms
        self._collection = collection

    def read_all(self) -> list[dict[str, str]]:
        where = f"CollectionAlias = {quote(self._collection)}"
        return [
            _row(self._collection, one["DesktopName"], one["UserDomain"], one["UserName"])
            for one in self._rdms.enumerate(SESSION_HOST, where)
        ]

    def add(self, desktop: str, domain: str, user: str) -> None:
        self._invoke("AddDesktopAssignment", desktop, domain, user)

    def remove(self, desktop: str) -> None:
        self._invoke("RemoveDesktopAssignment", desktop, None, None)

    def replace(self, desktop: str, domain: str, user: str) -> None:
        for freed in ((desktop, None, None), ("", domain, user)):
            try:
                self._invoke("RemoveDesktopAssignment", *freed)
            except Refused as refusal:
                if refusal.return_value != WbemCode.NOT_FOUND:
                    raise
        self.add(desktop, domain, user)

    def render(self, row: dict[str, str]) -> tuple[str, ...]:
        return tuple(row[name] for name in COLUMNS)

    def _invoke(self, method: str, desktop: str, domain: str | None, user: str | None) -> None:
        """Nothing given means any (facts a.4)."""
        self._rdms.invoke(
            *(SESSION_HOST, method),
            CollectionAlias=self._collection,
            DesktopName=desktop,
            UserDomain=domain,
            UserName=user,
        )


def _of(rdms: RdmsClient, collection: str) -> _Kind:
    """By what kind of collection has that alias."""
    found = list(rdms.enumerate(COLLECTION, f"Alias = {quote(collection)}"))
    return _Desktops(rdms, collection) if found else _SessionHosts(rdms, collection)


def _row(collection: str, desktop: object, domain: object, user: object) -> dict[str, str]:
    names = (collection, str(desktop), f"{domain or ''}\\{user}".removeprefix("\\"))
    return dict(zip(COLUMNS, names, strict=True))


def _split(user: str) -> tuple[str, str]:
    domain, _, name = user.rpartition("\\")
    return domain, name


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _read(lines: Iterable[str], columns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Desktop and user of each row. InvalidParameter names the line that is wrong."""
    reader = csv.DictReader(lines)
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise errors.InvalidParameter("file", f"has no column {missing[0]}")
    for row in reader:
        desktop, user = row[columns[-2]], row["User"]
        if not desktop or not user:
            raise errors.InvalidParameter("file", f"line {reader.line_num} is not complete")
        yield desktop, user
