"""Whose a guest's session is: the name by which brokering finds him again."""

from __future__ import annotations

import pytest

from openrdms.model.host import GuestSession


@pytest.mark.parametrize(
    ("domain", "account"),
    [
        ("CORP", "CORP\\ann"),
        ("", "ann"),  # what guests without a domain tell
    ],
)
def test_account(domain: str, account: str) -> None:
    assert GuestSession("1", "boot/1", "ann", domain, 0).account == account
