"""Host names by the rule of stock clients (facts d)."""

from __future__ import annotations

import pytest

from openrdms.model import errors
from openrdms.model.host_name import check_full_name, is_full_name


@pytest.mark.parametrize(
    "name", ["a.b", "host-1.corp.example", "_sip.example", "1.2", f"{'a' * 63}.b", "HOST.Example"]
)
def test_a_full_name(name: str) -> None:
    assert is_full_name(name)
    check_full_name("Name", name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "host",
        "host.",
        "host.corp.",
        ".corp",
        "a..b",
        "-a.b",
        "a-.b",
        "a b.c",
        "a.b\n",
        "a/b.c",
        "h\u00f6st.example",
        f"{'a' * 64}.b",
        ".".join(["a" * 50] * 6),
    ],
)
def test_no_full_name(name: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="Name: ") as caught:
        check_full_name("Name", name)
    assert caught.value.field == "Name"


def test_254_characters_are_the_most() -> None:
    longest = ".".join(["a" * 62] * 3 + ["a" * 63] + ["b"])
    assert len(longest) == 254
    assert is_full_name(longest)
    assert not is_full_name(f"{longest}c")
