"""wrk, a client that takes next to no time, so that it is the service that is measured."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
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
        started = [
            subprocess.Popen(
                [*command, url], stdout=subprocess.PIPE, text=True, env={**os.environ, **given}
            )
            for url in urls
        ]
        for process in started:
            ends.enter_context(process)
            ends.callback(process.kill)
        return sum(_count(process.communicate()[0]) for process in started)


def _count(told: str) -> int:
    assert "Non-2xx" not in told and "Socket errors" not in told, told
    found = re.search(r"(\d+) requests in", told)
    assert found, told
    return int(found[1])
