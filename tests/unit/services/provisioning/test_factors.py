"""Concurrency factors, also while records cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.job_work import with_slots
from openrdms.jobs.tokens import Kind, Tokens
from openrdms.model import errors
from openrdms.model.host import HostSettings
from openrdms.services.provisioning import factors


class Settings:
    """Of one host; ``broken`` when records cannot be read."""

    broken = False

    def find_host_settings(self, _: str) -> HostSettings:
        if self.broken:
            raise errors.OperationFailed("records: unable to open database file")
        return HostSettings(concurrency=7)


def test_calls_end_although_records_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a job would wait for ever for a call that is over."""
    monkeypatch.setattr(factors, "_KNOWN_FOR", 0.0)
    settings: Any = Settings()
    known = factors.ConcurrencyFactors(settings)
    tokens = Tokens(with_slots(2, 4, 2), known)
    assert known("host1") == 7

    def work() -> int:
        settings.broken = True
        return 1

    assert tokens.run("host1", Kind.CLONE, work) == 1
    assert known("host1") == 7
