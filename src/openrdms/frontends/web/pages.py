"""Pages: templates, words in the visitor's language, static files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from openrdms.frontends.web.clock import clock_for
from openrdms.frontends.web.translations import words_for
from openrdms.frontends.web.visitors import Visitor

HERE = Path(__file__).parent


def _hash_files(directory: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in directory.rglob("*") if path.is_file()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


STATIC = f"/static/{_hash_files(HERE / 'static')}"
"""Where the files in static/ are, as long as they are as they are now."""

_LOCKED = HERE / "package-lock.json"
MODULES = f"/modules/{hashlib.sha256(_LOCKED.read_bytes()).hexdigest()[:16]}"
"""Where packages of others are, in the versions that are locked."""
NOVNC = f"{MODULES}/@novnc/novnc/core/rfb.js"

THEME_COOKIE = "theme"
"""Light or dark, where a visitor has chosen; else his system says."""

_environment = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    request: Request,
    template: str,
    visitor: Visitor | None = None,
    status: int = 200,
    **values: Any,
) -> HTMLResponse:
    """A page, or a part of one.

    Templates know ``t`` (words), ``clock`` (times), ``theme``, ``visitor``, ``csrf``, ``path``,
    ``novnc`` (its main module) and ``static``, below which the files in static/ are.
    """
    words = words_for(request)
    csrf = visitor.session.csrf if visitor and visitor.session else ""
    theme = request.cookies.get(THEME_COOKIE, "")
    text = _environment.get_template(template).render(
        t=words,
        language=words.language,
        visitor=visitor,
        csrf=csrf,
        clock=clock_for(request, words),
        theme=theme if theme in ("light", "dark") else "",
        path=request.url.path,
        static=STATIC,
        novnc=NOVNC,
        **values,
    )
    return HTMLResponse(text, status, {"content-language": words.language})


class _Files(StaticFiles):
    """Static files, but for those that are hidden: npm's notes of what it installed."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """As StaticFiles."""
        if any(part.startswith(".") for part in Path(path).parts):
            return "", None
        return super().lookup_path(path)


class Kept(_Files):
    """Static files below a path that names what is in them: browsers need not ask again."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """As StaticFiles."""
        reply = super().file_response(*args, **options)
        reply.headers["cache-control"] = "public, max-age=31536000, immutable"
        return reply


class Revalidated(_Files):
    """Static files that a browser keeps, and asks each time whether they are still the same."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """As StaticFiles; what has not changed is 304 without a body."""
        reply = super().file_response(*args, **options)
        reply.headers["cache-control"] = "no-cache"
        return reply
