"""Words of the pages, as data: one JSON file for each language, by the English text.

English needs no file: the key is the text. ``{name}`` in a text is filled in.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import HTTPConnection

ENGLISH = "en"
COOKIE = "language"
"""Which language a visitor has chosen, where it is not his browser's."""


@dataclass(frozen=True)
class Words:
    """Of one language; called with the English text."""

    language: str
    _texts: Mapping[str, str]

    def __call__(self, english: str, **values: object) -> str:
        return self._texts.get(english, english).format(**values)


@functools.cache
def load() -> Mapping[str, Words]:
    """By language code."""
    files = sorted(Path(__file__).parent.glob("*.json"))
    texts = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    return {code: Words(code, words) for code, words in {ENGLISH: {}, **texts}.items()}


def words_for(connection: HTTPConnection) -> Words:
    """Of the language that was chosen, else of the first that the browser names and we have."""
    known = load()
    wanted = [connection.cookies.get(COOKIE, ""), *_accepted(connection)]
    return known[next((code for code in wanted if code in known), ENGLISH)]


def _accepted(connection: HTTPConnection) -> list[str]:
    """Codes of Accept-Language in its order; browsers sort by preference."""
    header = connection.headers.get("accept-language", "")
    return [part.partition(";")[0].strip().partition("-")[0].lower() for part in header.split(",")]
