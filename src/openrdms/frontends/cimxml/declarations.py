"""Operations that read classes and qualifier types (DSP0200)."""

from __future__ import annotations

from openrdms.cim.cimxml import Detail, render_class, render_qualifier_declaration
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.schema import CimClass
from openrdms.frontends.cimxml.intrinsic import Arguments, Scope, operation, returned


def _get_class(scope: Scope, arguments: Arguments) -> str:
    detail = _detail(arguments)
    try:
        return returned(render_class(arguments.get_class(scope), detail))
    except CimError as error:
        if error.status is not CimStatus.INVALID_CLASS:
            raise
        # The class is what is asked for here, not where to look.
        raise CimError(CimStatus.NOT_FOUND, str(error), wbem=error.wbem) from error


def _enumerate_classes(scope: Scope, arguments: Arguments) -> str:
    detail = _detail(arguments)
    return returned("".join(render_class(item, detail) for item in _below(scope, arguments)))


def _enumerate_class_names(scope: Scope, arguments: Arguments) -> str:
    names = (f'<CLASSNAME NAME="{item.name}"/>' for item in _below(scope, arguments))
    return returned("".join(names))


def _get_qualifier(scope: Scope, arguments: Arguments) -> str:
    wanted = arguments.get_text("QualifierName").strip()
    for item in scope.manager.schema.qualifiers:
        if item.name.lower() == wanted.lower():
            return returned(render_qualifier_declaration(item))
    raise CimError(CimStatus.NOT_FOUND, f"there is no qualifier {wanted}", wbem=0x80041002)


def _enumerate_qualifiers(scope: Scope, arguments: Arguments) -> str:
    return returned("".join(map(render_qualifier_declaration, scope.manager.schema.qualifiers)))


def _below(scope: Scope, arguments: Arguments) -> tuple[CimClass, ...]:
    """All classes, or those below the one named: none, since every class is its own root."""
    if arguments.find("ClassName", "CLASSNAME") is None:
        return scope.manager.schema.classes
    arguments.get_class(scope)
    return ()


def _detail(arguments: Arguments) -> Detail:
    return Detail(
        qualifiers=arguments.flag("IncludeQualifiers", default=True),
        class_origin=arguments.flag("IncludeClassOrigin"),
        properties=arguments.find_properties(),
    )


_DETAIL = "LocalOnly IncludeQualifiers IncludeClassOrigin"
OPERATIONS = {
    "GetClass": operation(f"ClassName PropertyList {_DETAIL}", _get_class),
    "EnumerateClasses": operation(f"ClassName DeepInheritance {_DETAIL}", _enumerate_classes),
    "EnumerateClassNames": operation("ClassName DeepInheritance", _enumerate_class_names),
    "GetQualifier": operation("QualifierName", _get_qualifier),
    "EnumerateQualifiers": operation("", _enumerate_qualifiers),
}
