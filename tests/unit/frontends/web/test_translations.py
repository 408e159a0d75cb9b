"""Every word of the pages is there in every language, and none that no page says."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from openrdms.frontends import web
from openrdms.frontends.web import clock, console, translations
from openrdms.frontends.web.console import shell
from openrdms.frontends.web.portal_pages import REASONS
from openrdms.model.account import Role
from openrdms.model.session import CONNECT_STATES
from openrdms.model.web_session import Scope

WEB = Path(web.__file__).parent
LANGUAGES = sorted(Path(translations.__file__).parent.glob("*.json"))
_TRANSLATORS = frozenset({"t", "_t", "words", "_words"})
_PLACEHOLDER = re.compile(r"\{(\w*)[^}]*\}")


def in_templates() -> Iterator[str]:
    """What templates hand to t()."""
    environment = Environment()
    for file in (WEB / "templates").rglob("*.html"):
        for call in environment.parse(file.read_text(encoding="utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t":
                yield from (one.value for one in _constants(call.args[0]))


def _constants(node: nodes.Node) -> Iterator[nodes.Const]:
    """Of an expression, what it may come to: conditions aside."""
    match node:
        case nodes.Const():
            yield node
        case nodes.CondExpr(expr1=first, expr2=second):
            yield from _constants(first)
            yield from _constants(second or nodes.Const(""))


def in_modules() -> Iterator[str]:
    """What modules hand to a translator themselves."""
    for file in WEB.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) in _TRANSLATORS and node.args:
                yield from _texts(node.args[0])


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def _texts(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=first, orelse=second):
            yield from _texts(first)
            yield from _texts(second)


def in_tables() -> Iterator[str]:
    """What templates translate by a name: tables of words, and what the model has names for."""
    yield from REASONS.values()
    yield from (entry.words for entry in shell.ENTRIES)
    yield from (words for _, words in clock._UNITS)
    yield from (*Role, *Scope, *CONNECT_STATES)
    yield from (HTTPStatus(status).phrase for status in (400, 403, 404, 405, 409, 413, 422, 429))
    yield from (HTTPStatus(status).phrase for status in (500, 501, 503, 507))
    for file in (WEB / "console").glob("*.py"):
        module = importlib.import_module(f"{console.__name__}.{file.stem}")
        for name in _assigned(file):
            table = vars(module)[name]
            if isinstance(table, Mapping):
                yield from (getattr(one, "words", one) for one in table.values())


def _assigned(file: Path) -> set[str]:
    """Names of the tables that a module makes itself."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    names = [one.target for one in body if isinstance(one, ast.AnnAssign)]
    return {name.id for name in names if isinstance(name, ast.Name) and name.id.isupper()}


def all_words() -> set[str]:
    return {text for text in (*in_templates(), *in_modules(), *in_tables()) if text}


@pytest.mark.parametrize("file", LANGUAGES, ids=lambda file: file.stem)
def test_a_language_has_every_word_and_no_other(file: Path) -> None:
    known = json.loads(file.read_text(encoding="utf-8"))
    said = all_words()
    missing = sorted(said - known.keys())
    assert not missing, f"not in {file.name}: {json.dumps(missing, indent=0, ensure_ascii=False)}"
    literals = said | set(_all_literals())
    unused = sorted(key for key in known if key not in literals)
    assert not unused, f"no page says: {unused}"


@pytest.mark.parametrize("file", LANGUAGES, ids=lambda file: file.stem)
def test_what_is_filled_in_is_the_same(file: Path) -> None:
    for english, text in json.loads(file.read_text(encoding="utf-8")).items():
        assert text.strip() == text != "", english
        assert sorted(_PLACEHOLDER.findall(text)) == sorted(_PLACEHOLDER.findall(english)), english


def test_scripts_say_nothing_by_themselves() -> None:
    """Their words are the page's: in attributes, or in the answers of the API."""
    for file in (WEB / "static").glob("*.js"):
        text = re.sub(r"//.*|/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
        sentences = re.findall(r'"[A-Z][a-z]+ [a-z][^"]*"', text)
        assert not sentences, f"{file.name} says {sentences}"


def _all_literals() -> Iterator[str]:
    """Any text in a module: refusals of the sign-in are translated as they are."""
    for directory in (WEB, WEB.parents[1] / "security"):
        for file in directory.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
