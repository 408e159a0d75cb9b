"""CIM values as XML and back, by the rules of DSP0230 as Windows applies them.

NULL is a nil element, an array repeats its element, an empty array is no element at all, and a
datetime wraps its text in an element of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from openrdms.cim import types
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.schema import WBEM_E_TYPE_MISMATCH, CimClass, Property
from openrdms.cim.schema import Element as Declared
from openrdms.cim.types import CimInstance, CimScalar, CimValue
from openrdms.cim.xmltext import escape
from openrdms.frontends.wsman import names
from openrdms.frontends.wsman.resource import NAMESPACE_SELECTOR
from openrdms.frontends.wsman.soap import Element, local_name

Values = Mapping[str, CimValue]

_DATETIME_WRAPPERS = frozenset({"datetime", "interval", "cim_datetime", "date", "time"})


def render_values(values: Values, declared: Iterable[Declared], prefix: str = "p:") -> str:
    """One element per value, in the order of ``declared``; a name without a value is NULL."""
    return "".join(
        _render_value(f"{prefix}{item.name}", values.get(item.name)) for item in declared
    )


def instance_renderer(
    cim_class: CimClass, uri: str, properties: Iterable[Property]
) -> Callable[[CimInstance], str]:
    """How to write instances as the element CLASS in the namespace ``uri``."""
    name = cim_class.name
    head = f'<p:{name} xmlns:p="{escape(uri)}" xsi:type="p:{name}_Type">'
    tail = f"</p:{name}>"
    tags = [(item.name, f"p:{item.name}") for item in properties]

    def render(instance: CimInstance) -> str:
        values = instance.properties
        return head + "".join([_render_value(tag, values.get(n)) for n, tag in tags]) + tail

    return render


def render_reference(cim_class: CimClass, uri: str, namespace: str, keys: Values) -> str:
    """What an endpoint reference holds: address, resource URI and every key as a selector."""
    selectors = "".join(
        f'<w:Selector Name="{key.name}">{_text(keys.get(key.name))}</w:Selector>'
        for key in cim_class.keys
    )
    return (
        f"<a:Address>{names.ANONYMOUS}</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{escape(uri)}</w:ResourceURI><w:SelectorSet>{selectors}"
        f'<w:Selector Name="{NAMESPACE_SELECTOR}">{escape(namespace)}</w:Selector>'
        "</w:SelectorSet></a:ReferenceParameters>"
    )


def read_values(parent: Element | None, find: Callable[[str], Declared]) -> dict[str, CimValue]:
    """The children of ``parent`` as values by declared name.

    ``find`` gives the declaration of a name or raises. Raises CimError TYPE_MISMATCH.
    """
    runs: dict[str, list[Element]] = {}
    declared: dict[str, Declared] = {}
    for child in parent if parent is not None else ():
        item = find(local_name(child))
        declared[item.name] = item
        runs.setdefault(item.name, []).append(child)
    return {name: _read_run(declared[name], run) for name, run in runs.items()}


def _render_value(tag: str, value: CimValue) -> str:
    if isinstance(value, str):
        return f"<{tag}>{escape(value)}</{tag}>"
    if value is None:
        return f'<{tag} xsi:nil="true"/>'
    if type(value) is int:  # as most are, and no enumeration, whose text may be another
        return f"<{tag}>{value}</{tag}>"
    if isinstance(value, list):
        return "".join(_render_value(tag, item) for item in value)
    if isinstance(value, datetime | timedelta):
        kind = "Datetime" if isinstance(value, datetime) else "Interval"
        return f"<{tag}><cim:{kind}>{types.render_scalar(value)}</cim:{kind}></{tag}>"
    return f"<{tag}>{types.render_scalar(value)}</{tag}>"


def _text(value: CimValue) -> str:
    if value is None or isinstance(value, list):
        return ""
    return escape(types.render_scalar(value))


def _read_run(item: Declared, run: Sequence[Element]) -> CimValue:
    if not item.array:
        if len(run) > 1:
            raise _mismatch(item, "is given more than once")
        return _read_scalar(item, run[0])
    if len(run) == 1 and _is_nil(run[0]):
        return None
    return [_read_scalar(item, element) for element in run]


def _read_scalar(item: Declared, element: Element) -> CimScalar | None:
    if _is_nil(element):
        return None
    if len(element) == 0:
        return item.parse(element.text or "")
    inner = element[0]
    if len(element) > 1 or len(inner) or local_name(inner).lower() not in _DATETIME_WRAPPERS:
        raise _mismatch(item, f"has the child element {local_name(inner)}")
    return item.parse(inner.text or "")


def _is_nil(element: Element) -> bool:
    # omicli binds the prefix xsi to another namespace, so only the local name counts.
    return any(
        name.rpartition("}")[2] == "nil" and text.strip().lower() in ("true", "1")
        for name, text in _attributes(element)
    )


def _attributes(element: Element) -> Iterator[tuple[str, str]]:
    return ((str(name), str(text)) for name, text in element.items())


def _mismatch(item: Declared, reason: str) -> CimError:
    return CimError(
        CimStatus.TYPE_MISMATCH,
        f"{item.name} {reason}",
        wbem=WBEM_E_TYPE_MISMATCH,
        names=[item.name],
    )
