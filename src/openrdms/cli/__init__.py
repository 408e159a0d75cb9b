"""The ``rdms`` command."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import typer

from openrdms.cli.commands import EXIT_CODES

GROUPS = (
    "serve",
    "image",
    "host",
    "collection",
    "job",
    "desktop",
    "pool",
    "session",
    "session-collection",
    "application",
    "feed",
    "assignment",
    "node",
    "deployment",
    "certificate",
    "rdp",
    "user",
    "audit",
    "database",
    "backup",
    "restore",
    "simulator",
    "simulate",
)
"""Modules of this package; each has its ``app``."""


def main() -> None:
    """Entry point of the ``rdms`` script."""
    # Only the group that is asked for is imported: a starting service must not wait for the
    # client's libraries, nor the client for the service's.
    asked = [group for group in GROUPS if sys.argv[1:2] == [group]]
    build(asked or GROUPS)(prog_name="rdms")


def build(groups: Sequence[str] = GROUPS) -> typer.Typer:
    """The command with these groups."""
    app = typer.Typer(
        name="rdms",
        help="Remote Desktop Management Services for Linux and KVM.",
        epilog=EXIT_CODES,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for group in groups:
        module = importlib.import_module(f"openrdms.cli.{group.replace('-', '_')}")
        module.register(app)
    for info in app.registered_groups:
        info.no_args_is_help = True
    return app


def _root() -> None:
    """Having a callback keeps Typer from taking a single group for the whole command."""
