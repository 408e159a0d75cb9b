"""Times as a visitor reads them: by his clock, which his browser tells in a cookie."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from markupsafe import Markup
from starlette.requests import HTTPConnection

from openrdms.frontends.web.translations import Words

COOKIE = "zone"
_NAME = re.compile(r"[A-Za-z]+(?:/[A-Za-z0-9_+-]+){0,2}")
_UNITS = ((86_400, "{n} d"), (3_600, "{n} h"), (60, "{n} min"))


class Clock:
    """For one request. ``now`` is when it came, ``zone`` where the visitor is."""

    def __init__(self, zone: tzinfo, words: Words) -> None:
        self.zone = zone
        self._words = words
        self.now = datetime.now(UTC)

    def when(self, time: datetime | None) -> Markup:
        """Today's times without their date; "–" for None."""
        if time is None:
            return Markup("–")
        local = time.astimezone(self.zone)
        today = local.date() == self.now.astimezone(self.zone).date()
        shown = local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")
        full = local.strftime("%Y-%m-%d %H:%M:%S %Z")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            time.astimezone(UTC).isoformat(timespec="seconds"), full, shown
        )

    def span(self, length: timedelta | float | None) -> str:
        """How long, in one unit: "3 min"; "–" for None."""
        if length is None:
            return "–"
        seconds = length.total_seconds() if isinstance(length, timedelta) else length
        for unit, words in _UNITS:
            if seconds >= unit:
                return self._words(words, n=int(seconds // unit))
        return self._words("{n} s", n=max(0, round(seconds)))

    def ago(self, time: datetime | None) -> str:
        """How long ago."""
        return "–" if time is None else self.span(self.now - time)


def clock_for(connection: HTTPConnection, words: Words) -> Clock:
    """In the zone that the cookie names; UTC without one, or for a zone that nobody knows."""
    name = connection.cookies.get(COOKIE, "")
    try:
        zone: tzinfo = ZoneInfo(name) if _NAME.fullmatch(name) else UTC
    except ZoneInfoNotFoundError:
        zone = UTC
    return Clock(zone, words)
