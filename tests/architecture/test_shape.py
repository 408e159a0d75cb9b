"""The tree keeps its shape: small files, no cellar names, no leftovers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "openrdms"
FORBIDDEN = {"util", "utils", "common", "helper", "helpers", "misc", "manager", "base"}
MODULES = sorted(SOURCE.rglob("*.py"))


def describe(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", MODULES, ids=describe)
def test_module_is_at_most_600_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600


@pytest.mark.parametrize("path", MODULES, ids=describe)
def test_module_is_named_for_what_it_holds(path: Path) -> None:
    assert not FORBIDDEN & {part.removesuffix(".py") for part in path.relative_to(SOURCE).parts}


@pytest.mark.parametrize("path", MODULES, ids=describe)
def test_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), "no module docstring"


@pytest.mark.parametrize("path", MODULES, ids=describe)
def test_functions_are_at_most_50_lines(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno <= 50, node.name
