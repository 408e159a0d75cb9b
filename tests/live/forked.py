"""`rdms` in a process of its own, forked from one that has imported it already.

Python takes 1.4 s of processor time to import a service, and a test run starts hundreds of them.
What is killed, paused, waited for and read is a process as any other; what it is forked from has
run nothing of it, nor read any secret. Where that is not ``allowed``, as in benchmarks and on real
virtual machines, and where a start itself is tested, programs are started as users start them.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory

from openrdms.cli import GROUPS, main

allowed = False
"""By tests, module by module (see conftest)."""

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(
    [
        *("openrdms.app.running", "openrdms.adapters.simulator"),
        *(f"openrdms.cli.{group.replace('-', '_')}" for group in GROUPS),
    ]
)
_asking = threading.Lock()
"""How a process ended can be read once: whoever reads it, or starts one, is alone in that."""


class ForkedRdms:
    """One `rdms`, with what tests need of ``subprocess.Popen``. Safe from any thread."""

    def __init__(
        self,
        arguments: Sequence[str],
        output: Path,
        errors: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; what it prints is appended to two files, or to one. It dies with us."""
        given = (tuple(arguments), output, errors, dict(environment or os.environ))
        self._process = _forking.Process(target=_run, args=given, daemon=True)
        with _asking:
            self._process.start()
        assert self._process.pid
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Its exit code, or less than 0 the signal that has killed it; None while it lives."""
        with _asking:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """As ``poll``, once it has ended. TimeoutExpired."""
        if not wait([self._process.sentinel], timeout):
            raise TimeoutExpired("rdms", timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> CompletedProcess[str]:
    """Run one to its end, as ``subprocess.run`` does."""
    with TemporaryDirectory() as place:
        output, errors = Path(place, "output"), Path(place, "errors")
        code = ForkedRdms(arguments, output, errors, environment).wait()
        return CompletedProcess(["rdms", *arguments], code, output.read_text(), errors.read_text())


def _run(
    arguments: Sequence[str], output: Path, errors: Path, environment: Mapping[str, str]
) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environment)
    for number, file in ((1, output), (2, errors)):
        with file.open("ab") as stream:
            os.dup2(stream.fileno(), number)
    sys.argv = ["rdms", *arguments]
    main()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
