from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from live.service import until
from openrdms.adapters import processes
from openrdms.model.errors import OperationFailed


def test_lines_of_both_streams_arrive() -> None:
    lines: list[str] = []
    script = "printf 'one\\n10%%\\r20%%\\r'; echo two >&2; printf three"
    processes.run(["sh", "-c", script], on_line=lines.append)
    assert lines == ["one", "10%", "20%", "two", "three"]


def test_failure_says_what_was_printed_last() -> None:
    with pytest.raises(OperationFailed, match=r"^sh ended with 3: .*no such thing$") as caught:
        processes.run(["sh", "-c", "seq 100; echo no such thing >&2; exit 3"])
    assert "50" not in str(caught.value)


def test_other_status_can_mean_success() -> None:
    processes.run(["sh", "-c", "exit 7"], success=7)
    with pytest.raises(OperationFailed, match="ended with 0"):
        processes.run(["true"], success=7)


def test_program_that_is_not_there_is_named() -> None:
    with pytest.raises(OperationFailed, match="no-such-program"):
        processes.run(["no-such-program"])


def test_surroundings_are_passed_on(tmp_path: Path) -> None:
    lines: list[str] = []
    environment = {"PATH": os.environ["PATH"], "WORD": "hello"}
    processes.run(
        ["sh", "-c", "pwd; echo $WORD"], cwd=tmp_path, env=environment, on_line=lines.append
    )
    assert lines == [str(tmp_path), "hello"]


def test_exception_in_the_callback_ends_the_program() -> None:
    def cancel(line: str) -> None:
        raise InterruptedError

    begun = time.monotonic()
    with pytest.raises(InterruptedError):
        processes.run(["sh", "-c", "echo begun; sleep 60"], on_line=cancel)
    assert time.monotonic() - begun < 30


def test_programs_give_way_to_the_service() -> None:
    lines: list[str] = []
    processes.run(["nice"], on_line=lines.append)
    assert lines == [str(min(19, os.nice(0) + processes.NICE))]


RUN_FOREVER = """
import sys
from openrdms.adapters import processes
tag = sys.argv[1]
script = f"(exec -a {tag} sleep 60) & echo ready; exec -a {tag} sleep 60"
processes.run(["bash", "-c", script], on_line=lambda line: print(line, flush=True))
"""


def running(tag: str) -> list[str]:
    found = subprocess.run(["pgrep", "-f", f"^{tag} "], capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_kill_9_takes_programs_and_their_children_along() -> None:
    tag = f"leashed-{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-c", RUN_FOREVER, tag], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == "ready\n"
        until("both run", lambda: len(running(tag)) == 2)
        parent.send_signal(signal.SIGKILL)
    until("none lives on", lambda: not running(tag))
