"""The XML of declarations, read back by pywbem and compared with its own compiler's."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import pywbem
from hypothesis import given
from hypothesis import strategies as st
from pywbem._mof_compiler import MOFWBEMConnection
from pywbem._tupleparse import TupleParser
from pywbem._tupletree import xml_to_tupletree_sax

from openrdms.cim import cimxml, mof, types
from openrdms.cim.cimxml import Detail
from openrdms.providers import schema

NAMESPACE = "root/cimv2/rdms"
RDMS = Path(schema.__file__).with_name("rdms.mof").read_text()
ODD = """
Qualifier Key : boolean = false, Scope(property), Flavor(DisableOverride, ToSubclass);
Qualifier Values : string[] = {"a<b", "c"}, Scope(any), Flavor(Restricted, Translatable);
Qualifier ValueMap : string[], Scope(property, method), Flavor(EnableOverride);
Qualifier MaxLen : uint32 = null, Scope(property);
Qualifier ID : sint32 = null, Scope(parameter);
[Values{"x", "y&z"}]
class Odd
{
    [Key, MaxLen(8)] string Name = "so \\"quoted\\"";
    [ValueMap{"1", "2"}] uint8 Few[] = {1, 2};
    boolean On = true;
    [ValueMap{"0"}] uint32 Do([Values{"p"}, ID(0)] string Texts[], [ID(1)] sint64 Number);
};
"""


def parsed(text: str) -> Any:
    return TupleParser().parse_any(xml_to_tupletree_sax(text, "test"))


def normal_flavors(qualifiers: Any) -> None:
    """A compiler leaves out what is the default, and knows what the wire does not say."""
    for item in qualifiers.values():
        item.overridable, item.tosubclass, item.translatable = flavors_of(item)
        item.propagated = None
        item.toinstance = None


def flavors_of(item: Any) -> tuple[bool, bool, bool]:
    return item.overridable is not False, item.tosubclass is not False, bool(item.translatable)


def normal(cim_class: Any) -> Any:
    cim_class.path = None
    for item in (*cim_class.properties.values(), *cim_class.methods.values()):
        item.class_origin = None
        item.propagated = None
        item.qualifiers = item.qualifiers or {}
        normal_flavors(item.qualifiers)
        for parameter in getattr(item, "parameters", {}).values():
            normal_flavors(parameter.qualifiers)
    normal_flavors(cim_class.qualifiers)
    return cim_class


@pytest.mark.parametrize("text", [RDMS, ODD])
def test_pywbem_reads_the_classes_that_it_compiles_itself(text: str) -> None:
    connection = MOFWBEMConnection()
    pywbem.MOFCompiler(connection, log_func=None).compile_string(text, NAMESPACE)
    ours = mof.parse_schema(NAMESPACE, text)
    assert ours.classes
    for cim_class in ours.classes:
        theirs = normal(connection.classes[NAMESPACE][cim_class.name])
        read = normal(parsed(cimxml.render_class(cim_class, Detail())))
        assert read == theirs
    for declared in ours.qualifiers:
        theirs = connection.qualifiers[NAMESPACE][declared.name]
        read = parsed(cimxml.render_qualifier_declaration(declared))
        assert (read.name, read.type, read.value, read.is_array) == (
            *(theirs.name, theirs.type, theirs.value, bool(theirs.is_array)),
        )
        assert dict(read.scopes) == {name: True for name, on in theirs.scopes.items() if on} or (
            theirs.scopes["ANY"] and len(read.scopes) == 7
        )
        assert flavors_of(read) == flavors_of(theirs)


def test_detail_is_left_out_when_not_wanted() -> None:
    cim_class = mof.parse_schema(NAMESPACE, RDMS).get_class("Win32_RDMSVirtualDesktop")
    plain = cimxml.render_class(cim_class, Detail(qualifiers=False))
    assert "QUALIFIER" not in plain
    assert "CLASSORIGIN" not in plain
    origins = cimxml.render_class(cim_class, Detail(class_origin=True))
    elements = len(cim_class.properties) + len(cim_class.methods)
    assert origins.count(f'CLASSORIGIN="{cim_class.name}"') == elements
    few = parsed(cimxml.render_class(cim_class, Detail(properties=frozenset({"name"}))))
    assert list(few.properties) == ["Name"]
    assert len(few.methods) == len(cim_class.methods)


@given(
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-11))])).filter(
        lambda moment: 1 < moment.year < 9999
    )
)
def test_points_in_time_come_back(moment: datetime) -> None:
    text = cimxml.render_scalar(moment)
    assert len(text) == 25
    assert types.parse_datetime(text) == moment == pywbem.CIMDateTime(text).datetime


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=99_999_999)))
def test_intervals_come_back(span: timedelta) -> None:
    text = cimxml.render_scalar(span)
    assert len(text) == 25
    assert types.parse_datetime(text) == span


def test_values() -> None:
    assert cimxml.render_value(None) == ""
    assert cimxml.render_value([]) == "<VALUE.ARRAY></VALUE.ARRAY>"
    assert cimxml.render_value([True, None]) == (
        "<VALUE.ARRAY><VALUE>TRUE</VALUE><VALUE.NULL/></VALUE.ARRAY>"
    )
    assert cimxml.render_value("a<\x00") == "<VALUE>a&lt;\ufffd</VALUE>"
    assert cimxml.render_value(1.5) == "<VALUE>1.5</VALUE>"
