"""Every reason code is given by the product, and a test shows when."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

from openrdms.model.reason import ReasonCode

ROOT = Path(__file__).parents[2]


def find_codes(files: Iterable[Path]) -> set[str]:
    """Members named as ReasonCode.MEMBER."""
    return {
        node.attr
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "ReasonCode"
    }


@cache
def given() -> set[str]:
    return find_codes((ROOT / "src").rglob("*.py"))


@cache
def shown() -> set[str]:
    return find_codes((ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("code", ReasonCode)
def test_it_is_given_and_shown(code: ReasonCode) -> None:
    assert code.name in given()
    assert code.name in shown()
