"""What everything is compared with: uvicorn, httptools and uvloop, one process, nothing behind.

Answers POST /SIZE with so many octets, once it has read the body. Prints its port.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]


@cache
def _reply(path: str) -> tuple[Message, Message]:
    size = int(path.strip("/"))
    headers = [(b"content-length", b"%d" % size), (b"content-type", b"application/soap+xml")]
    return (
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": b"x" * size},
    )


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """An ASGI application."""
    while (await receive()).get("more_body"):
        pass
    for message in _reply(scope["path"]):
        await send(message)


def main() -> None:
    """Serve until killed."""
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", lifespan="off", access_log=False, log_level="warning"
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
