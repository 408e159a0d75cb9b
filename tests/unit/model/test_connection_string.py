"""Connection strings: what is one, which two go together, and that no part of one leaks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model import errors
from openrdms.model.connection_string import Database, check_pair, parse

SHARED = "Driver=ODBC;Server=db.example,1433;Uid=rds;Pwd=s3cret;Database=rds"
DEDICATED = "Driver=ODBC;Server=db.example;Trusted_Connection=Yes;Database=rds"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SHARED, Database("rds", is_dedicated=False)),
        (DEDICATED, Database("rds", is_dedicated=True)),
        ("Server=s; Initial  Catalog = rds ;Integrated Security=SSPI;", Database("rds", True)),
        ("DATABASE={a;b}}c};Trusted_Connection=no", Database("a;b}c", is_dedicated=False)),
        ("Pwd=\"x;Database=y\"\"\";Database='it''s'", Database("it's", is_dedicated=False)),
        (";;Database=a;Initial Catalog=a;Pwd=", Database("a", is_dedicated=False)),
    ],
)
def test_what_a_string_says(text: str, expected: Database) -> None:
    assert parse("Value", text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "needs one Database"),
        ("Server=s;Pwd=s3cret", "needs one Database"),
        ("Database=;Server=s", "needs one Database"),
        ("Database=a;Initial Catalog=b", "needs one Database"),
        ("Database=a;dataBase=a", "twice"),
        ("s3cret", "NAME=VALUE"),
        ("Database=a;s3cret", "NAME=VALUE;... at character 12"),
        ('Database=a;Pwd="s3cret', "NAME=VALUE"),
        ("Database=a;Pwd='s3cret'x", "NAME=VALUE"),
        ("=s3cret;Database=a", "without a name"),
        ("Database=a;Pwd=s3\ncret", "control character"),
        ("Database=a;Pwd=s3\x7fcret", "control character"),
        ("Database=a;Pwd=" + "s3cret" * 1000, "longer than 4096"),
    ],
)
def test_what_is_no_connection_string(text: str, reason: str) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        parse("ConnectionString", text)
    assert caught.value.field == "ConnectionString"
    assert reason in str(caught.value)
    assert "s3cret" not in str(caught.value)


names = st.text("abcxyz ", min_size=1).filter(lambda name: name.strip())
values = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f"), max_size=20)


@given(
    st.dictionaries(names.map(lambda name: f"x{name}"), values, max_size=5),
    st.text("ab", min_size=1),
)
def test_any_value_can_be_quoted(others: dict[str, str], database: str) -> None:
    known = {" ".join(name.split()): value for name, value in others.items()}
    parts = [f'{name}="{value.replace(chr(34), chr(34) * 2)}"' for name, value in known.items()]
    text = ";".join([*parts, f"Database={database}"])
    if len(text) <= 4096:
        assert parse("Value", text) == Database(database, is_dedicated=False)


@given(st.text(max_size=200))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    try:
        parse("Value", text)
    except errors.InvalidParameter as error:
        assert error.field == "Value"


def test_long_text_is_judged_at_once() -> None:
    for text in ("=" * 4096, " " * 4096, "a" * 4096, "{" * 4096, "a=" + " " * 4094, "a=';" * 1024):
        with pytest.raises(errors.InvalidParameter):
            parse("Value", text)


@pytest.mark.parametrize(
    ("primary", "secondary"),
    [(None, None), (SHARED, None), (DEDICATED, None), (SHARED, SHARED.replace("db", "DB"))],
)
def test_what_goes_together(primary: str | None, secondary: str | None) -> None:
    check_pair(primary, secondary)


@pytest.mark.parametrize(
    ("primary", "secondary", "reason"),
    [
        (None, SHARED, "needs a primary"),
        (DEDICATED, SHARED, "dedicated"),
        (SHARED, DEDICATED, "dedicated"),
        (SHARED, SHARED.replace("=rds", "=other"), "different databases"),
    ],
)
def test_what_does_not(primary: str | None, secondary: str, reason: str) -> None:
    with pytest.raises(errors.InvalidOperation, match=reason) as caught:
        check_pair(primary, secondary)
    assert "s3cret" not in str(caught.value)
