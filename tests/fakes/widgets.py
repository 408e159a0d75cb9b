"""A small CIM class that uses every value kind, with its instances in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from openrdms.cim import mof
from openrdms.cim.errors import CimError, CimStatus
from openrdms.cim.provider import Caller, MethodResult, Provider
from openrdms.cim.schema import Schema
from openrdms.cim.types import CimInstance, CimValue

NAMESPACE = "root/cimv2/rdms"
WBEM_E_NOT_FOUND = 0x80041002
WBEM_E_ALREADY_EXISTS = 0x80041019
WBEM_E_INVALID_PARAMETER = 0x80041008

MOF = """
class Test_Widget
{
    [Key, Read, Write] string Name;
    [Key, Read, Write] uint32 Slot;
    [Read, Write] string Text;
    [Read, Write] boolean Enabled;
    [Read, Write] sint32 Offset;
    [Read] uint64 Serial;
    [Read, Write] real64 Weight;
    [Read, Write] datetime Made;
    [Read, Write] datetime Lasts;
    [Read, Write] string Tags[];
    [Read, Write] uint8 Octets[];

    uint32 Rename([In, ID(0)] string Text, [Out, ID(1)] string Before);
    [Static] uint32 Add(
        [In, ID(0)] uint32 Left, [In, ID(1)] uint32 Right, [Out, ID(2)] uint32 Sum);
    [Static] uint32 Echo(
        [In, ID(0)] string Text, [In, ID(1)] string Tags[], [In, ID(2)] datetime When,
        [Out, ID(3)] string TextOut, [Out, ID(4)] string TagsOut[], [Out, ID(5)] datetime WhenOut);
    [Static] uint32 ReadKey([In, ID(0)] string Key);
    [Static] uint32 Refuse();
    [Static] uint32 Large([In, ID(0)] uint32 Length, [Out, ID(1)] string Text);
    [Static] uint32 Crash();
    [Static] uint32 Wait();
};
class Test_Silent
{
    [Key, Read] string Name;
};
"""

SCHEMA = Schema(NAMESPACE, mof.parse_classes(MOF))
WIDGET = SCHEMA.get_class("Test_Widget")

Values = Mapping[str, CimValue]


class Widgets(Provider):
    """Widgets by name (ignoring case) and slot. ``calls`` counts what reached the provider."""

    cim_class = "Test_Widget"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._rows: dict[tuple[str, int], dict[str, CimValue]] = {}
        self.calls = 0
        self.busy = threading.Event()
        self.free = threading.Event()

    def _count(self) -> None:
        with self._counting:  # threads call at once
            self.calls += 1

    def add(self, name: str, slot: int = 0, **values: CimValue) -> None:
        row = {item.name: values.get(item.name) for item in WIDGET.properties}
        row |= {"Name": name, "Slot": slot, "Serial": 2**64 - 1}
        self._rows[_key(row)] = row

    def enumerate(self, caller: Caller, where: Values) -> Iterator[CimInstance]:
        self._count()
        return (CimInstance(self.cim_class, row) for row in list(self._rows.values()))

    def get(self, caller: Caller, keys: Values) -> CimInstance:
        self._count()
        return CimInstance(self.cim_class, dict(self._find(keys)))

    def create(self, caller: Caller, properties: Values) -> Values:
        with self._lock:
            if _key(properties) in self._rows:
                raise CimError(
                    CimStatus.ALREADY_EXISTS, "the name is taken", wbem=WBEM_E_ALREADY_EXISTS
                )
            self.add(**{_argument(name): value for name, value in properties.items()})
        return {"Name": properties["Name"], "Slot": properties["Slot"]}

    def modify(self, caller: Caller, keys: Values, changes: Values) -> None:
        self._find(keys).update(changes)

    def delete(self, caller: Caller, keys: Values) -> None:
        self._find(keys)
        del self._rows[_key(keys)]

    def invoke(
        self, caller: Caller, method: str, keys: Values | None, parameters: Values
    ) -> MethodResult:
        self._count()
        if keys is not None:
            row = self._find(keys)
            before = row["Text"]
            row["Text"] = parameters["Text"]
            return MethodResult(0, {"Before": before})
        return getattr(self, f"do_{method.lower()}")(parameters)

    def do_add(self, parameters: Values) -> MethodResult:
        left, right = parameters["Left"], parameters["Right"]
        if not isinstance(left, int) or not isinstance(right, int):  # what may be NULL
            raise CimError(CimStatus.INVALID_PARAMETER, "two numbers are wanted")
        return MethodResult(0, {"Sum": left + right})

    def do_echo(self, parameters: Values) -> MethodResult:
        names = {"Text": "TextOut", "Tags": "TagsOut", "When": "WhenOut"}
        return MethodResult(0, {names[name]: value for name, value in parameters.items()})

    def do_readkey(self, parameters: Values) -> MethodResult:
        raise CimError(
            CimStatus.NOT_FOUND, f"{parameters['Key']} was never set", wbem=WBEM_E_NOT_FOUND
        )

    def do_refuse(self, parameters: Values) -> MethodResult:
        words = "not like <this> & that"
        return MethodResult(WBEM_E_INVALID_PARAMETER, reason=words, reason_code="NotAsAsked")

    def do_large(self, parameters: Values) -> MethodResult:
        length = parameters["Length"]
        assert isinstance(length, int)
        return MethodResult(0, {"Text": "x" * length})

    def do_crash(self, parameters: Values) -> MethodResult:
        raise ZeroDivisionError("a secret of the service")

    def do_wait(self, parameters: Values) -> MethodResult:
        self.busy.set()
        self.free.wait(20)
        return MethodResult()

    def _find(self, keys: Values) -> dict[str, CimValue]:
        row = self._rows.get(_key(keys))
        if row is None:
            raise CimError(CimStatus.NOT_FOUND, "no such widget", wbem=WBEM_E_NOT_FOUND)
        return row


def _key(values: Values) -> tuple[str, int]:
    name, slot = values["Name"], values["Slot"]
    assert isinstance(name, str)
    assert isinstance(slot, int)
    return name.lower(), slot


def _argument(name: str) -> str:
    return {"Name": "name", "Slot": "slot"}.get(name, name)
