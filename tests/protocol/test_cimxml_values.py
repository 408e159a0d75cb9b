"""Values of every CIM type through pywbem and back, and values that are not of their type."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
import pywbem
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.cimxml_client import connect, error_of, imethodcall, iparam, post
from fakes.guards import OpenGuard
from openrdms.cim import mof
from openrdms.cim.object_manager import Namespaces, ObjectManager
from openrdms.cim.provider import Caller, Provider
from openrdms.cim.schema import Schema
from openrdms.cim.types import INTEGER_RANGES, CimInstance, CimType, CimValue
from openrdms.frontends.cimxml.service import CimXmlServer

NAMESPACE = "root/cimv2/rdms"
TYPES = [str(item) for item in CimType]
MOF = (
    "class Test_Types { [Key, Write] string Id; [Key, Write] sint8 Number;"
    "[Key, Write] boolean Flag;"
    + "".join(f"[Write] {name} One_{name}; [Write] {name} Many_{name}[];" for name in TYPES)
    + "};"
)
SCHEMA = Schema(NAMESPACE, mof.parse_classes(MOF))

# What XML 1.0 can carry; pywbem writes the rest as it is, and ends of lines as one.
TEXT = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["Cc"],
        exclude_characters="\ufffe\uffff",
        include_characters="\t\n",
    ),
    max_size=20,
)
POINTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(
    lambda value: pywbem.CIMDateTime(value.replace(tzinfo=UTC))
)
SPANS = st.timedeltas(timedelta(), timedelta(99_999_999)).map(pywbem.CIMDateTime)
SCALARS: Mapping[str, st.SearchStrategy[object]] = {
    **{str(name): st.integers(numbers[0], numbers[-1]) for name, numbers in INTEGER_RANGES.items()},
    "string": TEXT,
    "char16": st.characters(codec="utf-8", exclude_categories=["Cc"], max_codepoint=0xFFFD),
    "boolean": st.booleans(),
    "real32": st.integers(-(2**20), 2**20).map(lambda number: number / 8),
    "real64": st.floats(allow_nan=False, allow_infinity=False),
    "datetime": POINTS | SPANS,
}
# pywbem reads NULL members of string arrays only.
MEMBERS = {**SCALARS, "string": st.none() | TEXT}


class Types(Provider):
    """One instance at a time."""

    cim_class = "Test_Types"
    row: Mapping[str, CimValue]

    def enumerate(self, caller: Caller, where: object) -> Iterator[CimInstance]:
        yield CimInstance(self.cim_class, self.row)

    def get(self, caller: Caller, keys: Mapping[str, CimValue]) -> CimInstance:
        assert all(self.row[name] == value for name, value in keys.items())
        return CimInstance(self.cim_class, self.row)

    def create(self, caller: Caller, properties: Mapping[str, CimValue]) -> Mapping[str, CimValue]:
        self.row = properties
        return {name: properties[name] for name in ("Id", "Number", "Flag")}


@pytest.fixture(scope="module")
def server() -> CimXmlServer:
    manager = ObjectManager(SCHEMA, {"Test_Types": Types()}, OpenGuard())
    return CimXmlServer(Namespaces([manager]))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(TYPES).flatmap(
        lambda name: st.tuples(
            st.just(name),
            st.none() | SCALARS[name],
            st.none() | st.lists(MEMBERS[name], max_size=4),
        )
    ),
    st.tuples(TEXT, st.integers(-128, 127), st.booleans()),
)
def test_a_value_comes_back_as_it_went(
    server: CimXmlServer,
    given_value: tuple[str, object, list[object] | None],
    key: tuple[str, int, bool],
) -> None:
    name, one, many = given_value
    connection = connect(server)
    keys = {"Id": key[0], "Number": pywbem.Sint8(key[1]), "Flag": key[2]}
    properties = [pywbem.CIMProperty(item, value) for item, value in keys.items()]
    properties += [
        pywbem.CIMProperty(f"One_{name}", one, type=name),
        pywbem.CIMProperty(f"Many_{name}", many, type=name, is_array=True),
    ]
    path = connection.CreateInstance(pywbem.CIMInstance("Test_Types", properties))
    assert path.keybindings == pywbem.NocaseDict(keys)
    (listed,) = connection.EnumerateInstances("Test_Types")
    assert listed.path.keybindings == path.keybindings
    for found in (connection.GetInstance(path), listed):
        assert found[f"One_{name}"] == one
        assert found[f"Many_{name}"] == many
        assert found.properties[f"One_{name}"].type == name
        assert all(found[f"One_{other}"] is None for other in TYPES if other != name)


def create(content: str) -> str:
    keys = (
        '<PROPERTY NAME="Id" TYPE="string"><VALUE>a</VALUE></PROPERTY>'
        '<PROPERTY NAME="Number" TYPE="sint8"><VALUE>1</VALUE></PROPERTY>'
        '<PROPERTY NAME="Flag" TYPE="boolean"><VALUE>TRUE</VALUE></PROPERTY>'
    )
    instance = f'<INSTANCE CLASSNAME="Test_Types">{keys}{content}</INSTANCE>'
    return imethodcall("CreateInstance", iparam("NewInstance", instance))


def scalar(name: str, text: str, stated: str | None = None) -> str:
    return f'<PROPERTY NAME="One_{name}" TYPE="{stated or name}"><VALUE>{text}</VALUE></PROPERTY>'


def array(name: str, *items: str) -> str:
    return (
        f'<PROPERTY.ARRAY NAME="Many_{name}" TYPE="{name}"><VALUE.ARRAY>{"".join(items)}'
        "</VALUE.ARRAY></PROPERTY.ARRAY>"
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        scalar("boolean", "tRuE"),
        scalar("uint8", " 7 "),
        scalar("uint8", "+7", "UINT8"),
        scalar("real32", "1.5E1"),
        scalar("real64", "INF"),
        scalar("string", "<![CDATA[<b>]]>"),
        scalar("datetime", "00000001000000.000000:000"),
        scalar("datetime", "20260101120000.000000+120"),
        scalar("uint8", "7").replace(' TYPE="uint8"', ""),
        scalar("uint8", "7").replace("<VALUE>7</VALUE>", ""),
        scalar("string", "x").replace("<VALUE>", '<QUALIFIER NAME="Q" TYPE="string"/><VALUE>'),
        array("uint8"),
        array("uint8", "<VALUE>1</VALUE>", "<VALUE.NULL/>"),
        array("uint8").replace("<VALUE.ARRAY></VALUE.ARRAY>", ""),
    ],
)
def test_spellings_of_good_values(server: CimXmlServer, content: str) -> None:
    assert error_of(post(server, create(content))) == 0


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (scalar("uint8", "256"), 13),
        (scalar("uint8", "-1"), 13),
        (scalar("uint8", ""), 13),
        (scalar("uint8", "one"), 13),
        (scalar("uint8", "7", "uint16"), 13),
        (scalar("uint8", "7", "string"), 13),
        (scalar("boolean", "yes"), 13),
        (scalar("char16", "ab"), 13),
        (scalar("char16", ""), 13),
        (scalar("real32", "x"), 13),
        (scalar("datetime", "yesterday"), 13),
        (scalar("datetime", "20261301000000.000000+000"), 13),
        (scalar("datetime", "20260101120000.******+000"), 13),
        (scalar("string", "<VALUE>x</VALUE>"), 4),
        (scalar("uint8", "7").replace("<VALUE>", "<VALUE/><VALUE>"), 13),
        (scalar("uint8", "7").replace("VALUE>", "VALUE.NULL>"), 13),
        (array("uint8", "<VALUE>1</VALUE>", "<VALUE>256</VALUE>"), 13),
        (array("uint8", "<VALUE.ARRAY/>"), 13),
        (array("uint8").replace("PROPERTY.ARRAY", "PROPERTY").replace("Many_", "One_"), 13),
        (
            '<PROPERTY.REFERENCE NAME="One_string"><VALUE.REFERENCE/></PROPERTY.REFERENCE>',
            13,
        ),
        (scalar("uint8", "7") * 2, 4),
        ('<METHOD NAME="x"/>', 4),
        ('<PROPERTY NAME="Other" TYPE="string"/>', 12),
        ('<PROPERTY TYPE="string"/>', 12),
    ],
)
def test_values_that_are_wrong(server: CimXmlServer, content: str, status: int) -> None:
    assert error_of(post(server, create(content))) == status


def get(bindings: str) -> str:
    name = f'<INSTANCENAME CLASSNAME="Test_Types">{bindings}</INSTANCENAME>'
    return imethodcall("GetInstance", iparam("InstanceName", name))


def key(name: str, text: str, attributes: str = "") -> str:
    return f'<KEYBINDING NAME="{name}"><KEYVALUE {attributes}>{text}</KEYVALUE></KEYBINDING>'


ID, NUMBER, FLAG = key("Id", "a"), key("Number", "1"), key("Flag", "true")


@pytest.mark.parametrize(
    "bindings",
    [
        ID + NUMBER + FLAG,
        FLAG + NUMBER.replace("Number", "NUMBER") + ID,
        ID + key("Number", "1", 'VALUETYPE="numeric"') + key("Flag", "TRUE", 'VALUETYPE="boolean"'),
        ID + key("Number", "1", 'VALUETYPE="numeric" TYPE="sint8"') + FLAG,
        ID + key("Number", "1", 'TYPE="SINT8"') + FLAG,
    ],
)
def test_spellings_of_good_keys(server: CimXmlServer, bindings: str) -> None:
    assert error_of(post(server, create(""))) == 0
    assert error_of(post(server, get(bindings))) == 0


@pytest.mark.parametrize(
    "bindings",
    [
        "",
        ID + NUMBER,
        ID + NUMBER + FLAG + FLAG,
        ID + NUMBER + FLAG + key("Other", "x"),
        ID + NUMBER + FLAG + key("One_string", "x"),
        ID + key("Number", "x") + FLAG,
        ID + key("Number", "200") + FLAG,
        ID + key("Number", "1", 'VALUETYPE="boolean"') + FLAG,
        ID + key("Number", "1", 'VALUETYPE="numeric" TYPE="uint8"') + FLAG,
        ID + key("Number", "1", 'VALUETYPE="odd"') + FLAG,
        key("Id", "1", 'VALUETYPE="numeric"') + NUMBER + FLAG,
        ID + NUMBER + key("Flag", "maybe"),
        ID + NUMBER + '<KEYBINDING NAME="Flag"><VALUE.REFERENCE/></KEYBINDING>',
        ID + NUMBER + '<KEYBINDING NAME="Flag"/>',
        ID + NUMBER + key("Flag", "<VALUE/>"),
        "<KEYVALUE>a</KEYVALUE>",
        "<VALUE.REFERENCE/>",
    ],
)
def test_keys_that_are_wrong(server: CimXmlServer, bindings: str) -> None:
    assert error_of(post(server, get(bindings))) == 4
