"""One client interface over both protocols, so that one case is asked twice.

Values are plain Python ones of the declared type (int, bool, str, datetime, list). A fault is
raised as Refused with the CIM status it stands for, whatever the protocol calls it.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pywbem
from pypsrp.exceptions import WSManFaultError

from live.service import PASSWORD, USER, Service
from live.wire import CIM_NAMESPACE, Wire, fault

TABLE: Mapping[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "rdms-interface.json").read_text()
)["classes"]

ACCESS_DENIED, INVALID_PARAMETER, INVALID_CLASS, NOT_FOUND = 2, 4, 5, 6
TYPE_MISMATCH, METHOD_NOT_FOUND = 13, 17

Values = Mapping[str, Any]


@dataclass
class Answer:
    """ReturnValue and out-parameters of a method that was carried out or refused."""

    code: int
    outputs: dict[str, Any]


class Refused(Exception):
    """A fault. ``status`` is the CIM status, ``words`` what the client is told."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status
        self.words = words


class Speaker(Protocol):
    """A client of one protocol, signed in as somebody."""

    def invoke(self, name: str, method: str, keys: Values | None, given: Values) -> Answer: ...
    def get(self, name: str, keys: Values) -> dict[str, Any]: ...
    def create(self, name: str, properties: Values) -> None: ...
    def put(self, name: str, keys: Values, changes: Values) -> None: ...
    def delete(self, name: str, keys: Values) -> None: ...
    def list(self, name: str) -> Sequence[dict[str, Any]]: ...


class WsManSpeaker:
    """pypsrp over WS-Management."""

    def __init__(self, service: Service, user: str = USER, password: str = PASSWORD) -> None:
        self._wire = Wire(service.client(user=user, password=password))

    def invoke(self, name: str, method: str, keys: Values | None, given: Values) -> Answer:
        selectors = None if keys is None else {key: _text(value) for key, value in keys.items()}
        inputs = {key: _texts(value) for key, value in given.items()}
        with _statuses():
            answer = self._wire.invoke(name, method, selectors, **inputs)
        declared = {item["name"]: item for item in _parameters(name, method)}
        outputs = {
            key: _parsed(declared[key], value)
            for key, value in answer.outputs.items()
            if key in declared
        }
        return Answer(answer.return_value, outputs)

    def get(self, name: str, keys: Values) -> dict[str, Any]:
        with _statuses():
            found = self._wire.get(name, **{key: _text(value) for key, value in keys.items()})
        return _parsed_instance(name, found)

    def create(self, name: str, properties: Values) -> None:
        with _statuses():
            self._wire.create(name, {key: _texts(value) for key, value in properties.items()})

    def put(self, name: str, keys: Values, changes: Values) -> None:
        with _statuses():
            self._wire.put(
                name,
                {key: _texts(value) for key, value in changes.items()},
                **{key: _text(value) for key, value in keys.items()},
            )

    def delete(self, name: str, keys: Values) -> None:
        with _statuses():
            self._wire.delete(name, **{key: _text(value) for key, value in keys.items()})

    def list(self, name: str) -> Sequence[dict[str, Any]]:
        with _statuses():
            return [_parsed_instance(name, found) for found in self._wire.enumerate(name)]


class CimXmlSpeaker:
    """pywbem over CIM-XML."""

    def __init__(self, service: Service, user: str = USER, password: str = PASSWORD) -> None:
        address = urlsplit(service.ready["cimxml_https"])
        self.connection = pywbem.WBEMConnection(
            f"https://{address.netloc}",
            (user, password),
            CIM_NAMESPACE,
            ca_certs=str(service.state_dir / "tls" / "certificate.pem"),
            timeout=30,
        )
        self.connection.debug = True  # keeps the last reply

    def invoke(self, name: str, method: str, keys: Values | None, given: Values) -> Answer:
        declared = {item["name"].lower(): item for item in _parameters(name, method)}
        parameters = [
            (key, _typed(declared.get(key.lower(), {"type": "string"}), value))
            for key, value in given.items()
        ]
        target = name if keys is None else self._path(name, keys)
        with _statuses():
            code, outputs = self.connection.InvokeMethod(method, target, Params=parameters)
        plain = {key: _plain(value) for key, value in outputs.items() if key in _names(declared)}
        return Answer(int(code), plain | self._booleans())

    def _booleans(self) -> dict[str, bool]:
        """Boolean out-parameters of the last reply: pywbem takes any text, FALSE too, for true."""
        reply = ET.fromstring(self.connection.last_raw_reply)
        found = reply.iterfind(".//PARAMVALUE[@PARAMTYPE='boolean']")
        return {item.get("NAME", ""): item.findtext("VALUE") == "TRUE" for item in found}

    def get(self, name: str, keys: Values) -> dict[str, Any]:
        with _statuses():
            instance = self.connection.GetInstance(self._path(name, keys))
        return {key: _plain(value) for key, value in instance.items()}

    def create(self, name: str, properties: Values) -> None:
        with _statuses():
            self.connection.CreateInstance(self._instance(name, properties))

    def put(self, name: str, keys: Values, changes: Values) -> None:
        instance = self._instance(name, changes)
        instance.path = self._path(name, keys)
        with _statuses():
            self.connection.ModifyInstance(instance, PropertyList=list(changes))

    def delete(self, name: str, keys: Values) -> None:
        with _statuses():
            self.connection.DeleteInstance(self._path(name, keys))

    def list(self, name: str) -> Sequence[dict[str, Any]]:
        with _statuses():
            found = self.connection.EnumerateInstances(name)
        return [{key: _plain(value) for key, value in one.items()} for one in found]

    def _path(self, name: str, keys: Values) -> pywbem.CIMInstanceName:
        declared = TABLE[name]["properties"]
        typed = {key: _typed(declared.get(key, {"type": "string"}), v) for key, v in keys.items()}
        return pywbem.CIMInstanceName(name, typed, namespace=CIM_NAMESPACE)

    def _instance(self, name: str, values: Values) -> pywbem.CIMInstance:
        declared = TABLE[name]["properties"]
        properties = [_property(key, declared[key], value) for key, value in values.items()]
        return pywbem.CIMInstance(name, properties)


@contextmanager
def _statuses():  # type: ignore[no-untyped-def]
    """Faults of either protocol as Refused."""
    try:
        yield
    except pywbem.CIMError as error:
        raise Refused(error.status_code, error.status_description) from error
    except WSManFaultError as error:
        with fault() as found:
            raise
        raise Refused(_status_of(found.subcode, found.detail), found.text) from error


_STATUS = {
    ("AccessDenied", ""): ACCESS_DENIED,
    ("InvalidSelectors", ""): INVALID_PARAMETER,
    ("InvalidParameter", ""): INVALID_PARAMETER,
    ("DestinationUnreachable", "InvalidResourceURI"): INVALID_CLASS,
    ("DestinationUnreachable", ""): NOT_FOUND,
    ("SchemaValidationError", ""): TYPE_MISMATCH,
    ("ActionNotSupported", ""): METHOD_NOT_FOUND,
    ("AlreadyExists", ""): 11,
    ("UnsupportedFeature", ""): 7,
}


def _status_of(subcode: str, detail: str) -> int:
    """The CIM status for which WS-Management has this subcode (cim-binding rules of DSP0227)."""
    return _STATUS.get((subcode, detail)) or _STATUS.get((subcode, ""), 1)


def _parameters(name: str, method: str) -> Sequence[Mapping[str, Any]]:
    found = TABLE[name]["methods"].get(method, {"parameters": []})
    parameters: Sequence[Mapping[str, Any]] = found["parameters"]
    return parameters


def _names(declared: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {item["name"] for item in declared.values()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _texts(value: Any) -> Any:
    if value is None:
        return None
    return [_text(item) for item in value] if isinstance(value, list) else _text(value)


def _parsed_instance(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    declared = TABLE[name]["properties"]
    return {key: _parsed(declared[key], value) for key, value in found.items()}


def _parsed(item: Mapping[str, Any], value: Any) -> Any:
    if value is None:
        return None
    if item.get("array"):
        items = value if isinstance(value, list) else [value]
        return [_parsed({**item, "array": False}, one) for one in items]
    if item["type"] == "boolean":
        return value == "true"
    if "int" in item["type"]:
        return int(value)
    return datetime.fromisoformat(value) if item["type"] == "datetime" else value


def _typed(item: Mapping[str, Any], value: Any) -> Any:
    """pywbem's type; a value that is of another type on purpose goes as the string it is."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [_typed(item, one) for one in value]
    return pywbem.cimvalue(value, item["type"])


def _property(key: str, item: Mapping[str, Any], value: Any) -> pywbem.CIMProperty:
    """A text where another type is declared, wrong on purpose, is sent as the string it is."""
    array = bool(item.get("array"))
    first = value[0] if isinstance(value, list) and value else value
    kind = "string" if isinstance(first, str) else item["type"]
    return pywbem.CIMProperty(key, _typed(item, value), type=kind, is_array=array)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, pywbem.CIMDateTime):
        return value.datetime
    if isinstance(value, bool) or value is None:
        return value
    return int(value) if isinstance(value, int) else value
