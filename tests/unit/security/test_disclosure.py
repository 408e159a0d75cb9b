"""What of a call is written down: never what may be a secret, in whatever a refusal says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.security.disclosure import HIDDEN, clean, disclose, disclose_known, find_field


def test_names_are_told_and_values_only_where_they_are_harmless() -> None:
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    given = {"VMName": "vd-1", "Password": "x", "Value": 3, "Message": "hi", "StartTime": begin}
    given |= {"JobInputXml": "<a/>", "Title": None, "ServerFQDNs": ["a", "b"], "bSysPrep": True}
    assert disclose(given) == {
        "VMName": "vd-1",
        "Value": 3,
        "StartTime": "2026-03-01T00:00:00+00:00",
        "Title": None,
        "Password": HIDDEN,
        "Message": HIDDEN,
        "JobInputXml": HIDDEN,
        "bSysPrep": True,
        "ServerFQDNs": ["a", "b"],
    }
    assert set(disclose_known(given)) == {"VMName", "Value", "StartTime", "ServerFQDNs", "bSysPrep"}


def test_the_host_that_an_administrator_changes_is_told() -> None:
    given: dict[str, Any] = {"host": "node-1", "settings": {"concurrency": 5}}
    assert disclose(given) == {"host": "node-1", "settings": "{'concurrency': 5}"}


@pytest.mark.parametrize("name", ["Value", "IconContents", "SecurityDescriptor", "password"])
def test_texts_of_other_names_are_hidden(name: str) -> None:
    assert disclose({name: "text"}) == {name: HIDDEN}


@pytest.mark.parametrize(
    ("reason", "field"),
    [
        ("ConnectionString: 'Pwd=s3cr3t' is wrong", "ConnectionString"),
        ("s3cr3t: is wrong", ""),
        ("no desktop is called 'vd-1'", ""),
        ("connectionstring: is wrong", ""),
        ("", ""),
    ],
)
def test_only_the_name_of_a_parameter_is_taken_from_a_reason(reason: str, field: str) -> None:
    assert find_field(reason, {"ConnectionString", "Key"}) == field


@given(st.text())
def test_no_reason_brings_a_value_into_the_log(reason: str) -> None:
    assert find_field(reason, {"Password"}) in ("", "Password")


@given(st.text())
def test_what_is_kept_is_one_printable_line(text: str) -> None:
    told = clean(text)
    assert told.isprintable()
    told.encode()


def test_long_texts_are_cut() -> None:
    assert clean("x" * 501) == "x" * 500 + HIDDEN
    assert clean("\x1b[31m\n") == r"\x1b[31m\n"
