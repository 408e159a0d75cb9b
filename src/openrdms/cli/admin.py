"""How image, host and audit reach what they work on: through a running service, or themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from openrdms.cli import output
from openrdms.frontends.admin import client
from openrdms.frontends.admin.commands import Admin

StateDir = Annotated[
    Path, typer.Option(envvar="RDMS_STATE_DIR", help="State directory of the service.")
]


@dataclass(frozen=True)
class AdminSession:
    """Runs commands and shows how far they are."""

    admin: Admin

    def run(self, command: str, **arguments: Any) -> Any:
        """The command's result; RdmsError."""
        with output.progress_bar(command) as report:
            return self.admin.run(command, arguments, report)


@contextmanager
def open_admin(state_dir: StateDir) -> Iterator[AdminSession]:
    """The running service of that directory; without one, what it last used, in this process."""
    with client.connect(state_dir) as remote:
        if remote:
            yield AdminSession(remote)
            return
    from openrdms import app  # noqa: PLC0415 - not needed when a service runs

    with app.open_admin(state_dir.absolute()) as local:
        yield AdminSession(local)
