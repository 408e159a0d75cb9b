"""Pulled enumerations (DSP0200): Open, Pull and Close.

What is open holds an iterator, not instances, so a long enumeration costs the memory of one
reply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from openrdms.cim.cimxml import Detail, render_class
from openrdms.cim.enumeration import IDLE_SECONDS, Contexts
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.schema import CimClass
from openrdms.cim.wql import Query
from openrdms.frontends.cimxml import associations, queries
from openrdms.frontends.cimxml.intrinsic import Arguments, Operation, Scope, operation, returned
from openrdms.frontends.cimxml.message import class_of
from openrdms.frontends.cimxml.rendering import (
    Render,
    asked_renderer,
    instance_renderer,
    joined_renderer,
    path_renderer,
)
from openrdms.frontends.cimxml.values import invalid

MAX_OBJECTS = 10_000
"""In one reply, however many more the client would take."""

_WITH_PATH, _PATHS, _PLAIN = "PullInstancesWithPath", "PullInstancePaths", "PullInstances"


@dataclass
class Session:
    """What is left of an enumeration; ``ahead`` is the next object, None at the end.

    ``pull`` is the only operation that it can be pulled by, ``class_name`` whose instances it is
    about.
    """

    pull: str
    class_name: str
    rest: Iterator[str]
    ahead: str | None = None

    def look_ahead(self) -> None:
        """Begin, to know whether there is anything; raises what the iteration raises."""
        self.ahead = next(self.rest, None)

    def take(self, count: int) -> str:
        """The next objects, up to ``count``."""
        taken: list[str] = []
        if self.ahead is not None and count:
            taken = [self.ahead, *islice(self.rest, min(count, MAX_OBJECTS) - 1)]
            self.look_ahead()
        return "".join(taken)


class Pulling:
    """Answers these operations; what is open belongs to its caller and namespace."""

    def __init__(self, contexts: Contexts[Session]) -> None:
        self._contexts = contexts
        filtered = "FilterQueryLanguage FilterQuery OperationTimeout ContinueOnError MaxObjectCount"
        detail = "IncludeClassOrigin PropertyList"
        associators = f"InstanceName AssocClass ResultClass Role ResultRole {filtered}"
        references = f"InstanceName ResultClass Role {filtered}"
        self.operations: dict[str, Operation] = {
            "OpenEnumerateInstances": operation(
                f"ClassName DeepInheritance {detail} {filtered}", self._open_instances
            ),
            "OpenEnumerateInstancePaths": operation(f"ClassName {filtered}", self._open_paths),
            "OpenQueryInstances": operation(f"ReturnQueryResultClass {filtered}", self._open_query),
            "OpenAssociatorInstances": operation(
                f"{associators} {detail}", self._open_nothing(_WITH_PATH)
            ),
            "OpenAssociatorInstancePaths": operation(associators, self._open_nothing(_PATHS)),
            "OpenReferenceInstances": operation(
                f"{references} {detail}", self._open_nothing(_WITH_PATH)
            ),
            "OpenReferenceInstancePaths": operation(references, self._open_nothing(_PATHS)),
            **{
                name: operation("EnumerationContext MaxObjectCount", self._pull(name))
                for name in (_WITH_PATH, _PATHS, _PLAIN)
            },
            "CloseEnumeration": operation("EnumerationContext", self._close),
        }

    def _open_instances(self, scope: Scope, arguments: Arguments) -> str:
        cim_class = arguments.get_class(scope)
        path, instance = path_renderer(cim_class, scope), asked_renderer(cim_class, arguments)
        render = joined_renderer("VALUE.INSTANCEWITHPATH", path, instance)
        return self._open_class(scope, arguments, cim_class, _WITH_PATH, render)

    def _open_paths(self, scope: Scope, arguments: Arguments) -> str:
        cim_class = arguments.get_class(scope)
        render = path_renderer(cim_class, scope)
        return self._open_class(scope, arguments, cim_class, _PATHS, render)

    def _open_class(
        self, scope: Scope, arguments: Arguments, cim_class: CimClass, pull: str, render: Render
    ) -> str:
        query = _filter(scope, arguments, cim_class)
        items = map(render, queries.select(scope, query))
        return self._open(scope, arguments, Session(pull, cim_class.name, items))

    def _open_query(self, scope: Scope, arguments: Arguments) -> str:
        text = arguments.get_text("FilterQuery")
        wants_class = arguments.flag("ReturnQueryResultClass")
        query = queries.parse(scope, arguments.get_text("FilterQueryLanguage"), text)
        cim_class = scope.manager.schema.get_class(query.class_name)
        chosen = queries.chosen_by(query)
        items = map(instance_renderer(cim_class, chosen), queries.select(scope, query))
        answer = self._open(scope, arguments, Session(_PLAIN, cim_class.name, items))
        if not wants_class:
            return answer
        declared = render_class(cim_class, Detail(properties=chosen))
        return f'{answer}<PARAMVALUE NAME="QueryResultClass">{declared}</PARAMVALUE>'

    def _open_nothing(self, pull: str) -> Callable[[Scope, Arguments], str]:
        def answer(scope: Scope, arguments: Arguments) -> str:
            _read_filter(arguments)
            source = arguments.get("InstanceName", "INSTANCENAME")
            associations.check_source(scope, arguments, source)
            return self._open(scope, arguments, Session(pull, class_of(source), iter(())))

        return answer

    def _open(self, scope: Scope, arguments: Arguments, session: Session) -> str:
        _check_promises(arguments)
        count = arguments.find_number("MaxObjectCount") or 0
        session.look_ahead()
        return self._answer(scope, session, count)

    def _pull(self, name: str) -> Callable[[Scope, Arguments], str]:
        def answer(scope: Scope, arguments: Arguments) -> str:
            count = arguments.find_number("MaxObjectCount")
            if count is None:
                raise invalid("MaxObjectCount", "is missing", "MissingValues")
            identifier, session = self._take(scope, arguments)
            if session.pull != name:
                namespace = scope.manager.schema.namespace
                self._contexts.restore(scope.caller, namespace, identifier, session)
                raise CimError(
                    CimStatus.INVALID_ENUMERATION_CONTEXT, f"the enumeration is for {session.pull}"
                )
            # Rights may have gone since it was opened.
            scope.manager.check_enumerate(scope.caller, session.class_name)
            return self._answer(scope, session, count)

        return answer

    def _close(self, scope: Scope, arguments: Arguments) -> str:
        self._take(scope, arguments)
        return ""

    def _take(self, scope: Scope, arguments: Arguments) -> tuple[str, Session]:
        identifier = arguments.get_text("EnumerationContext").strip()
        namespace = scope.manager.schema.namespace
        return identifier, self._contexts.take(scope.caller, namespace, identifier)

    def _answer(self, scope: Scope, session: Session, count: int) -> str:
        objects = session.take(count)
        context, end = "", "TRUE"
        if session.ahead is not None:
            namespace = scope.manager.schema.namespace
            context = f"<VALUE>{self._contexts.open(scope.caller, namespace, session)}</VALUE>"
            end = "FALSE"
        return (
            f"{returned(objects)}"
            f'<PARAMVALUE NAME="EnumerationContext" PARAMTYPE="string">{context}</PARAMVALUE>'
            '<PARAMVALUE NAME="EndOfSequence" PARAMTYPE="boolean">'
            f"<VALUE>{end}</VALUE></PARAMVALUE>"
        )


def _filter(scope: Scope, arguments: Arguments, cim_class: CimClass) -> Query:
    language, text = _read_filter(arguments)
    if text is None:
        return Query(cim_class.name, None)
    query = queries.parse(scope, language, text)
    if query.class_name != cim_class.name:
        raise CimError(CimStatus.INVALID_QUERY, f"the query is not about {cim_class.name}")
    return query


def _read_filter(arguments: Arguments) -> tuple[str, str | None]:
    language = arguments.find_text("FilterQueryLanguage")
    text = arguments.find_text("FilterQuery")
    if (language is None) != (text is None):
        raise invalid("FilterQuery", "and FilterQueryLanguage go together")
    return language or "", text


def _check_promises(arguments: Arguments) -> None:
    """What the client wants kept: how long an enumeration stays open, and whatever happens."""
    seconds = arguments.find_number("OperationTimeout")
    if seconds is not None and not 0 < seconds <= IDLE_SECONDS:
        raise CimError(
            CimStatus.INVALID_OPERATION_TIMEOUT,
            f"OperationTimeout is not from 1 to {IDLE_SECONDS:.0f} seconds",
        )
    if arguments.flag("ContinueOnError"):
        raise CimError(
            CimStatus.CONTINUATION_ON_ERROR_NOT_SUPPORTED, "an error ends an enumeration"
        )
