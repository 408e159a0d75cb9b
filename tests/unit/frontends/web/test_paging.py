"""Lists by pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.frontends.web.paging import Part, decode_cursor, encode_cursor
from openrdms.model.errors import InvalidParameter


@given(st.text())
def test_a_cursor_says_what_was_put_in(key: str) -> None:
    cursor = encode_cursor(key)
    assert decode_cursor(cursor) == key
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(st.text(min_size=1))
def test_anything_else_is_refused_by_its_name(text: str) -> None:
    try:
        decode_cursor(text)
    except InvalidParameter as error:
        assert error.field == "cursor"


@pytest.mark.parametrize("text", ["x", "é", "W10", "WzFd", "bnVsbA", "WyJhIiwiYiJd", "===="])
def test_what_is_no_cursor(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^cursor:"):
        decode_cursor(text)


@given(st.sets(st.text(max_size=3)), st.integers(1, 5))
def test_pages_have_everything_once(keys: set[str], limit: int) -> None:
    seen: list[str] = []
    part = Part(limit)
    while True:
        page = part.cut(keys - {""}, str, str)
        seen += page.items
        assert len(page.items) <= limit
        if page.next is None:
            break
        part = Part(limit, decode_cursor(page.next))
    assert seen == sorted(keys - {""})
