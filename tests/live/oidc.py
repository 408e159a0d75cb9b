"""oidc-provider (npm) in a process of its own, and a browser's way through its pages."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from urllib.parse import urljoin

import httpx

from live.free_ports import free_port
from live.service import until

SCRIPT = Path(__file__).with_name("oidc-provider.mjs")
CLIENT, SECRET = "openrdms", "known to the provider and us"


class OidcServer:
    """Started when it is known where it leads back to."""

    def __init__(self) -> None:
        self.port = free_port()
        self.issuer = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, redirect: str, log: Path) -> None:
        """Return when it answers."""
        told = {"port": self.port, "redirect": redirect, "client": CLIENT, "secret": SECRET}
        command = ["setpriv", "--pdeathsig", "KILL", "node", SCRIPT, json.dumps(told)]
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        until("the provider answers", self._answers)

    def stop(self) -> None:
        """End it."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def spoil(self, what: str) -> None:
        """Have it send wrong ID tokens; "" for right ones."""
        with httpx.Client(trust_env=False) as client:
            client.post(f"{self.issuer}/wrong", params={"what": what}).raise_for_status()

    def sign_in(self, url: str, name: str) -> str:
        """As somebody does there who was sent to ``url``; returns where he is led back to."""
        with httpx.Client(trust_env=False, timeout=60) as browser:
            for fields in (
                {"prompt": "login", "login": name, "password": "x"},
                {"prompt": "consent"},
            ):
                page = _follow(browser, url, self.issuer)
                if not isinstance(page, httpx.Response):
                    return page
                found = re.search(r'action="([^"]+)"', page.text)
                assert found, page.text
                reply = browser.post(urljoin(str(page.url), found[1]), data=fields)
                url = urljoin(str(page.url), reply.headers["location"])
            back = _follow(browser, url, self.issuer)
            assert isinstance(back, str), back.text
            return back

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, "the provider has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def _follow(browser: httpx.Client, url: str, issuer: str) -> httpx.Response | str:
    """A page of the provider, or an address elsewhere that it leads to."""
    while url.startswith(issuer):
        reply = browser.get(url)
        if not reply.is_redirect:
            return reply
        url = urljoin(url, reply.headers["location"])
    return url
