"""What may name an account."""

import pytest

from openrdms.model.account import check_name, check_new_password
from openrdms.model.errors import InvalidParameter


@pytest.mark.parametrize(
    "name", ["a", "alice", "alice@EXAMPLE.ORG", "Ünïcode", "two words", "x" * 127, "日本"]
)
def test_names_that_are_taken(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "x" * 128,
        "D\\alice",
        "a:b",
        "a\nb",
        "a\x00",
        "a\x7f",
        "a\u2028b",
        "\udc80",
        "\u202e",
    ],
)
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^field: "):
        check_name(name, "field")


def test_a_password_is_never_in_the_refusal() -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_new_password("secret7")
    assert "secret7" not in str(refused.value)
    check_new_password("secret78")
