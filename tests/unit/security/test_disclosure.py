"""What of a call is written down: never what may be a secret, in whatever a refusal quotes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.security.disclosure import HIDDEN, censor, clean, disclose, disclose_known

CONNECTION = "Server=db.example.org;Uid=sa;Pwd='s3cr3t pass'"


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


@pytest.mark.parametrize("name", ["Value", "IconContents", "SecurityDescriptor", "password"])
def test_texts_of_other_names_are_hidden(name: str) -> None:
    assert disclose({name: "text"}) == {name: HIDDEN}


@pytest.mark.parametrize(
    "reason",
    [
        f"ConnectionString: {CONNECTION!r} has no database",
        f"ConnectionString: {CONNECTION} has no database",
        "ConnectionString: keyword 'Pwd' twice, near \"s3cr3t\"",
        "ConnectionString: Pwd=s3cr3t",
    ],
)
def test_no_part_of_a_connection_string_is_quoted(reason: str) -> None:
    told = censor(reason, {"ConnectionString": CONNECTION})
    assert "s3cr3t" not in told
    assert "db.example" not in told


@given(st.text(min_size=4), st.sampled_from(["Value", "Password", "JobInputXml", "Message"]))
def test_no_hidden_value_is_quoted(value: str, name: str) -> None:
    for quoted in (value, repr(value), ascii(value)):
        told = censor(f"{quoted} is wrong", {name: value})
        if value not in " is wrong" + HIDDEN and value.strip():
            assert value not in told
            assert told.endswith(" is wrong")


def test_harmless_values_stay() -> None:
    assert censor("no desktop 'vd-1'", {"VMName": "vd-1", "Value": ""}) == "no desktop 'vd-1'"


@given(st.text())
def test_what_is_kept_is_one_printable_line(text: str) -> None:
    told = clean(text)
    assert told.isprintable()
    told.encode()


def test_long_texts_are_cut() -> None:
    assert clean("x" * 501) == "x" * 500 + HIDDEN
    assert clean("\x1b[31m\n") == r"\x1b[31m\n"
