"""ExecQuery and its language, which the pulled operations share."""

from __future__ import annotations

from collections.abc import Iterator

from openrdms.cim import wql
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.types import CimInstance
from openrdms.cim.wql import Query
from openrdms.frontends.cimxml.intrinsic import Arguments, Scope, operation, returned
from openrdms.frontends.cimxml.rendering import instance_renderer, joined_renderer, path_renderer

WBEM_E_INVALID_QUERY_TYPE = 0x80041018


def parse(scope: Scope, language: str, text: str) -> Query:
    """QUERY_LANGUAGE_NOT_SUPPORTED for anything but WQL; INVALID_QUERY."""
    if language.strip().lower() != "wql":
        raise CimError(
            CimStatus.QUERY_LANGUAGE_NOT_SUPPORTED,
            f"{language} is not understood, WQL is",
            wbem=WBEM_E_INVALID_QUERY_TYPE,
        )
    return wql.parse(text, scope.manager.schema.get_class)


def select(scope: Scope, query: Query) -> Iterator[CimInstance]:
    """The instances that match."""
    found = scope.manager.enumerate(scope.caller, query.class_name, query.equalities)
    return filter(query.matches, found)


def chosen_by(query: Query) -> frozenset[str] | None:
    """Names of the wanted properties in lower case; None for all."""
    return None if query.properties is None else frozenset(map(str.lower, query.properties))


def _execute(scope: Scope, arguments: Arguments) -> str:
    text = arguments.get_text("Query")
    query = parse(scope, arguments.get_text("QueryLanguage"), text)
    cim_class = scope.manager.schema.get_class(query.class_name)
    render = joined_renderer(
        "VALUE.OBJECTWITHPATH",
        path_renderer(cim_class, scope),
        instance_renderer(cim_class, chosen_by(query)),
    )
    return returned("".join(map(render, select(scope, query))))


OPERATIONS = {"ExecQuery": operation("QueryLanguage Query", _execute)}
