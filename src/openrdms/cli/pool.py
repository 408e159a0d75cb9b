"""``rdms pool``: desktops of collections that wait for users, and what keeps them from it."""

from __future__ import annotations

from typing import Annotated

import typer

from openrdms.cim.types import CimValue
from openrdms.cli.collection_settings import TYPES
from openrdms.cli.commands import command
from openrdms.cli.connection import open_rdms
from openrdms.cli.job_plan import DryRun, ask_plan
from openrdms.cli.output import Document, Listing, Result, Words
from openrdms.cli.rdms_client import RdmsClient

CLASS = "OpenRDMS_Pool"
COLUMNS = (
    *("CollectionAlias", "Ready", "Taken", "Preparing", "Unready", "InWork", "Quarantined"),
    *("Waiting", "Stopped", "Reason"),
)
SPARES = ("HostNames", "RunningSpares", "SavedSpares")
"""Arrays of the class, one item for each host."""

SPARE_COLUMNS = ("HostName", "Running", "Saved")
WORDS: Words = {"CollectionType": {int(kind): name for name, kind in TYPES.items()}}

group = typer.Typer(help="Pools: how many desktops wait for users, and why others do not.")

Alias = Annotated[str, typer.Argument(metavar="COLLECTION", help="Alias of the collection.")]


def register(app: typer.Typer) -> None:
    """Add the group to the ``rdms`` command."""
    app.add_typer(group, name="pool")


@command(group, "list", opens=open_rdms)
def list_pools(rdms: RdmsClient) -> Result:
    """List collections with the uses of their desktops."""
    return Listing(list(rdms.enumerate(CLASS)), COLUMNS)


@command(group, "show", opens=open_rdms)
def show_pool(rdms: RdmsClient, collection: Alias) -> Result:
    """Show one collection, its spares by host, and whether its pool works."""
    pool = rdms.get(CLASS, {"CollectionAlias": collection})
    columns = [_items(pool.get(name)) for name in SPARES]
    spares = [dict(zip(SPARE_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
    facts = {name: value for name, value in pool.items() if name not in SPARES}
    return Document(pool, facts, spares, SPARE_COLUMNS, WORDS)


@command(group, "release", opens=open_rdms)
def release(
    rdms: RdmsClient,
    desktop: Annotated[str, typer.Argument(help="A desktop that was put apart or is taken.")],
    force: Annotated[bool, typer.Option("--force", help="Log off who is on it.")] = False,
    dry_run: DryRun = False,
) -> Result:
    """Bring a desktop back: it is made fresh and then given to whoever comes."""
    if dry_run:
        return ask_plan(rdms, "PlanRelease", VMName=desktop, Force=force)
    rdms.invoke(CLASS, "ReleaseDesktop", VMName=desktop, Force=force)
    return None


@command(group, "reset-breaker", opens=open_rdms)
def reset_breaker(rdms: RdmsClient, collection: Alias) -> Result:
    """Let a pool go on that stopped because its preparations kept failing."""
    rdms.invoke(CLASS, "ResetBreaker", {"CollectionAlias": collection})
    return None


def _items(value: CimValue) -> list[CimValue]:
    return list(value) if isinstance(value, list) else []
