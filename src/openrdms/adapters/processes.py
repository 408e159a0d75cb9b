"""Programs run for us, none of which outlives us.

The kernel kills a child when the *thread* that forked it ends (PR_SET_PDEATHSIG, prctl(2)), so one
thread that lives as long as the process starts them all. That signal reaches the child alone. As
root the program also gets a PID and a mount namespace of its own, so that its children and its
mounts go with it; otherwise a shell that leads a process group kills the whole group.

They give way to the service: somebody waits for it, and its turns are short.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from openrdms.model.errors import OperationFailed

NICE = 15
"""Of programs that run beside the service (nice(2)): a share of 36 where the service has 1024. With
110 (a nice of 10) it answered several times as late while thirty desktops booted.
"""

_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
_TAIL_LINES = 8


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
    success: int = 0,
) -> None:
    """Run a program to its end, handing each line of its output and errors to ``on_line``.

    A carriage return ends a line too (progress displays). An exception from ``on_line`` kills the
    program and goes on to the caller, which is how a run is cancelled. Raises OperationFailed,
    with the last lines printed, when the program cannot be started or does not return ``success``.
    """
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    process = _start(argv, cwd, env)
    with process:
        try:
            for line in process.stdout or ():
                tail.append(line.rstrip())
                if on_line:
                    on_line(tail[-1])
        except BaseException:
            process.send_signal(_last_signal())
            raise
    if process.returncode != success:
        raise OperationFailed(f"{argv[0]} ended with {process.returncode}: " + " / ".join(tail))


def _start(
    argv: Sequence[str], cwd: Path | None, env: Mapping[str, str] | None
) -> subprocess.Popen[str]:
    def popen() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_leash(), *argv],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    try:
        return _spawner.submit(popen).result()
    except OSError as error:
        raise OperationFailed(f"cannot run {argv[0]}: {error}") from error


def _leash() -> list[str]:
    leash = [
        "nice",
        "-n",
        str(NICE),
        "setpriv",
        "--pdeathsig",
        _last_signal().name.removeprefix("SIG"),
    ]
    if os.geteuid() == 0:
        return [*leash, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    give_way = f"{{ echo {NICE} >/proc/self/autogroup; }} 2>/dev/null"  # of the session (sched(7))
    guard = f'{give_way}; trap "kill -KILL 0" TERM; "$@" & wait $!'
    return [*leash, "setsid", "sh", "-c", guard, "leash"]


def _last_signal() -> signal.Signals:
    """What ends the program with its children: unshare(1) passes on only what kills it."""
    return signal.SIGKILL if os.geteuid() == 0 else signal.SIGTERM
