"""wrk, a client that takes next to no time, so that it is the service that is measured."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.messages import Post

_SCRIPT = Path(__file__).parent / "post.lua"


def ask(
    urls: Iterable[str], request: Post, connections: int, seconds: int, method: str = "POST"
) -> int:
    """The same again and again, of all at once, on so many connections to each of them: how many
    have answered, every time with 200. wrk counts ``seconds`` in whole ones.
    """
    with tempfile.TemporaryDirectory() as directory, ExitStack() as ends:
        body, headers = Path(directory) / "body", Path(directory) / "headers"
        body.write_bytes(request.body)
        headers.write_text("".join(f"{name}: {value}\n" for name, value in request.headers.items()))
        given = {"METHOD": method, "BODY": str(body), "HEADERS": str(headers)}
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT)]
        environment = {**os.environ, **given}
        started = [ends.enter_context(_started([*command, url], environment)) for url in urls]
        return sum(_count(process.communicate()[0]) for process in started)


@contextmanager
def _started(command: list[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def _count(told: str) -> int:
    assert "Non-2xx" not in told and "Socket errors" not in told, told
    found = re.search(r"(\d+) requests in", told)
    assert found, told
    return int(found[1])
