"""Clients of the web port: HTTP as a browser speaks it, without the browser."""

from __future__ import annotations

import re
import ssl

import httpx

from live.service import Service


class WebClient(httpx.Client):
    """Trusts the service's certificate; cookies are kept, redirects are not followed."""

    def __init__(self, service: Service) -> None:
        context = ssl.create_default_context(
            cafile=str(service.state_dir / "tls" / "certificate.pem")
        )
        super().__init__(base_url=service.ready["web"], verify=context, trust_env=False, timeout=60)

    def sign_in(self, name: str, password: str) -> None:
        """With a password; requests that change something prove themselves from here on."""
        reply = self.try_sign_in(name, password)
        assert reply.status_code == 303, reply.text

    def try_sign_in(self, name: str, password: str, following: str = "/") -> httpx.Response:
        """By the form of the page."""
        fields = {"name": name, "password": password, "next": following}
        return self.send_form("/sign-in", fields)

    def send_form(self, path: str, fields: dict[str, str]) -> httpx.Response:
        """The form of a page that is shown to who has no session."""
        shown = self.get(path)
        found = re.search(r'name="form_token" value="([^"]+)"', shown.text)
        token = found[1] if found else ""  # who has a session is led on
        return self.post(path, data={**fields, "form_token": token})


def csrf_of(page: str) -> str:
    """What forms of that page send."""
    found = re.search(r'<meta name="csrf-token" content="([^"]+)">', page)
    assert found, page
    return found[1]
