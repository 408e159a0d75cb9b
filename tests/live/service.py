"""A service in a process of its own, started by command and found by its ready file."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pypsrp.wsman import WSMan

from live import forked
from live.wire import Wire

RDMS = (sys.executable, "-m", "openrdms")
"""`rdms` as users start it."""
USER, PASSWORD = "admin", "correct horse battery staple"

Found = TypeVar("Found")


def until(what: str, check: Callable[[], Found], seconds: float = 60, pause: float = 0.05) -> Found:
    """The first thing ``check`` finds that is true."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(pause)
    return found


def run_rdms(
    arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """The rdms command; ``environment`` replaces ours."""
    if forked.allowed:
        return forked.run(arguments, environment)
    command = [*RDMS, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def rdms(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Any:
    """What the rdms command prints as JSON."""
    done = run_rdms([*map(str, arguments), "--json"], environment)
    assert done.returncode == 0, f"{done.args} ended with {done.returncode}: {done.stderr}"
    return json.loads(done.stdout)


def list_disks(directory: Path) -> list[str]:
    """Names of all files in a directory of desktops' disks, whole and half made."""
    return sorted(path.name for path in directory.rglob("*") if path.is_file())


def find_qemus(state_dir: Path) -> dict[int, int]:
    """Pid and uid of every QEMU process with a file below ``state_dir`` in its arguments."""
    wanted = os.fsencode(f"{state_dir.resolve()}/")
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            arguments = (process / "cmdline").read_bytes()
            if b"qemu-system-" in arguments.partition(b"\0")[0] and wanted in arguments:
                found[int(process.name)] = process.stat().st_uid
    return found


def destroy_qemus(state_dir: Path) -> list[int]:
    """Kill them, and wait until none is left; returns their pids."""
    pids = list(find_qemus(state_dir))
    for pid in pids:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)
    until("QEMU processes end", lambda: not find_qemus(state_dir))
    return pids


class Service:
    """One state directory and its service, which a test starts, stops and kills as it likes.

    Without ``hypervisors`` it runs on its default, the embedded libvirt. ``launcher`` is put
    before the command, ``environment`` replaces ours.
    """

    may_fork = True
    """Where that is allowed (live.forked): False where how it lives and dies is measured."""

    def __init__(
        self,
        state_dir: Path,
        *hypervisors: str,
        options: Sequence[str] = (),
        launcher: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.state_dir = state_dir
        self.ready: dict[str, Any] = {}
        self._options = [*_named("--hypervisor", hypervisors), *options]
        self._launcher = [*launcher, "setpriv", "--pdeathsig", "KILL"]
        self._may_fork = self.may_fork and not launcher and _are_simulated(hypervisors)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | forked.ForkedRdms | None = None
        self._clients = ExitStack()
        self._log = state_dir / "service.log"

    def start(self, command: Sequence[str] = ()) -> None:
        """Start it and wait until it listens; by ``command``, one way into `rdms`, where that
        matters.
        """
        self.state_dir.mkdir(parents=True, exist_ok=True)
        ready_file = self.state_dir / "ready.json"
        ready_file.unlink(missing_ok=True)
        self._process = self._open(command, ["serve", *self._arguments(ready_file)])
        until("the service is ready", lambda: self._has_ended() or ready_file.exists(), 180, 0.01)
        assert not self._has_ended(), self.read_log()
        self.ready = json.loads(ready_file.read_text())
        assert self.ready["pid"] == self._process.pid

    def _open(
        self, command: Sequence[str], arguments: Sequence[str]
    ) -> subprocess.Popen[bytes] | forked.ForkedRdms:
        """Forked on a simulator; libvirt is for a process that begins with it."""
        if forked.allowed and self._may_fork and not command:
            return forked.ForkedRdms(arguments, self._log, self._log, self._environment)
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*self._launcher, *(command or RDMS), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )

    def stop(self) -> None:
        """End it as an administrator does; it has 5 s. Its VMs go on."""
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) in (0, -signal.SIGTERM), self.read_log()
        self._clients.close()

    def kill(self) -> None:
        """End it at once."""
        assert self._process
        self._process.kill()
        self.wait_for_death()

    def wait_for_death(self, seconds: float = 60) -> None:
        """Wait until it has been killed, by whomever."""
        assert self._process
        assert self._process.wait(seconds) == -signal.SIGKILL, self.read_log()
        self._clients.close()

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def clear(self) -> None:
        """Whatever state it is in, leave no process behind."""
        if self._process and not self._has_ended():
            self._process.kill()
            self._process.wait()
        self._clients.close()
        destroy_qemus(self.state_dir)

    def client(
        self, scheme: str = "https", user: str = USER, password: str = PASSWORD, **options: Any
    ) -> WSMan:
        """pypsrp's client of one of the listeners; closed with the service."""
        url = urlsplit(self.ready[f"wsman_{scheme}"])
        certificate: Any = str(self.state_dir / "tls" / "certificate.pem")  # requests takes a path
        client = WSMan(
            url.hostname or "",
            port=url.port,
            path=url.path.strip("/"),
            ssl=scheme == "https",
            username=user,
            password=password,
            cert_validation=certificate,
            no_proxy=True,
            **{
                "auth": "basic",
                "encryption": "auto" if scheme == "https" else "never",
                "max_envelope_size": 512_000,
                **options,
            },
        )
        return self._clients.enter_context(client)

    def wire(self) -> Wire:
        """Requests over HTTPS."""
        return Wire(self.client())

    def find_orphans(self) -> list[dict[str, str]]:
        """What `rdms audit orphans` says."""
        orphans: list[dict[str, str]] = rdms("audit", "orphans", "--state-dir", self.state_dir)
        return orphans

    def read_rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Rows of the service's records, read beside it."""
        file = (self.state_dir / "records.sqlite").as_uri()
        with closing(sqlite3.connect(f"{file}?mode=ro", uri=True, timeout=10)) as records:
            return records.execute(query, values).fetchall()

    def find_qemus(self) -> dict[int, int]:
        """Pid and uid of its QEMU processes."""
        return find_qemus(self.state_dir)

    def read_log(self) -> str:
        """The end of what it has logged."""
        return self._log.read_text(errors="replace")[-5000:]

    def _has_ended(self) -> bool:
        assert self._process
        return self._process.poll() is not None

    def _arguments(self, ready_file: Path) -> list[str]:
        password_file = self.state_dir / "admin-password"
        password_file.write_text(PASSWORD + "\n")
        password_file.chmod(0o600)
        os.chown(password_file, self.state_dir.stat().st_uid, -1)
        return [
            *("--state-dir", str(self.state_dir)),
            *("--listen", "127.0.0.1", "--wsman-http-port", "0", "--wsman-https-port", "0"),
            *("--cimxml-http-port", "0", "--cimxml-https-port", "0", "--web-port", "0"),
            *("--rdp-port", "0"),
            *("--admin-user", USER, "--admin-password-file", str(password_file)),
            *("--ready-file", str(ready_file)),
            *self._options,
        ]


def _are_simulated(hypervisors: Sequence[str]) -> bool:
    return bool(hypervisors) and all(uri.startswith("simulator:") for uri in hypervisors)


def _named(option: str, values: Sequence[str]) -> Iterator[str]:
    for value in values:
        yield from (option, value)
