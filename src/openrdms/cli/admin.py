"""How commands reach a state directory: through the service that runs on it, or themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from openrdms.cli import output
from openrdms.frontends.admin import client
from openrdms.frontends.admin.target import Admin

_HELP = "State directory of the service."
StateDir = Annotated[Path, typer.Option(envvar="RDMS_STATE_DIR", help=_HELP)]
ExistingStateDir = Annotated[
    Path, typer.Option(envvar="RDMS_STATE_DIR", help=_HELP, exists=True, file_okay=False)
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
def open_admin(state_dir: ExistingStateDir) -> Iterator[AdminSession]:
    """The running service of that directory; without one, what it last used, in this process."""
    with client.connect(state_dir) as remote:
        if remote:
            yield AdminSession(remote)
            return
    from openrdms.app import running  # a running service saves us from loading it

    with running.open_admin(state_dir.absolute()) as local:
        yield AdminSession(local)


@contextmanager
def open_or_make_admin(state_dir: StateDir) -> Iterator[AdminSession]:
    """Like ``open_admin``, but images may be made before the first service is started."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_admin(state_dir) as admin:
        yield admin
