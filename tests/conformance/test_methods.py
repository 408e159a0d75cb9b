"""Every method over both protocols: its effect, and every kind of refusal without any effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from conformance.case import SESSION_GONE, Bad, Case, Faults, Returns
from conformance.cases import CASES
from conformance.speakers import (
    ACCESS_DENIED,
    INVALID_PARAMETER,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    TABLE,
    TYPE_MISMATCH,
    CimXmlSpeaker,
    Refused,
    Speaker,
    WsManSpeaker,
)
from conformance.world import World
from conftest import ServiceFactory
from live.rollout import SESSION
from live.service import Service, rdms

PROTOCOLS: Mapping[str, type[WsManSpeaker] | type[CimXmlSpeaker]] = {
    "WS-Management": WsManSpeaker,
    "CIM-XML": CimXmlSpeaker,
}
NOBODY, NOBODYS_PASSWORD = "nobody-in-particular", "a password for nobody"
WRONG_TYPES = {"uint32": "many", "sint32": "many", "boolean": "perhaps", "datetime": "tomorrow"}
OUT_OF_RANGE = {"uint32": str(2**32), "sint32": str(2**31)}
ABSENT_KEYS = {"Alias": "nowhere", "Name": "nowhere", "FQDN": "nowhere.example"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, running_service: ServiceFactory) -> Service:
    place = tmp_path_factory.mktemp("conformance")
    cluster = (
        f"simulator://{place}/cluster?hosts=3&users=0"
        "&clone_ms=5&start_ms=5&boot_ms=200&agent_ms=5&destroy_ms=5"
    )
    ports = ["--cimxml-http-port", "0", "--cimxml-https-port", "0"]
    service = running_service(place / "state", cluster, options=ports)
    password = place / "password"
    password.write_text(NOBODYS_PASSWORD + "\n")
    rdms(
        *("user", "add", NOBODY, "--role", "user", "--password-file", password),
        *("--state-dir", service.state_dir),
    )
    return service


@pytest.fixture(scope="module")
def world(service: Service, tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(service, tmp_path_factory.mktemp("paths"))


@pytest.fixture(scope="module", params=PROTOCOLS)
def speaking(world: World, request: pytest.FixtureRequest) -> Iterator[World]:
    """The world, asked by one protocol and read back by the other."""
    mine, others = PROTOCOLS[request.param], [PROTOCOLS[n] for n in PROTOCOLS if n != request.param]
    world.speaker = mine(world.service)
    world.other = others[0](world.service)
    yield world


@pytest.fixture(scope="module")
def stranger(speaking: World) -> Speaker:
    """Somebody without any right, on the protocol under test."""
    return type(speaking.speaker)(speaking.service, NOBODY, NOBODYS_PASSWORD)  # type: ignore[call-arg]


def describe(value: object) -> str:
    return f"{value.name}.{value.method}" if isinstance(value, Case) else str(value)


every_case = pytest.mark.parametrize("case", CASES, ids=describe)


def test_there_is_a_case_for_every_method() -> None:
    declared = {(name, method) for name, item in TABLE.items() for method in item["methods"]}
    assert {(case.name, case.method) for case in CASES} == declared
    assert len(CASES) == 68


@every_case
def test_good_input_has_its_effect(speaking: World, case: Case) -> None:
    call = case.call(speaking)
    answer = speaking.invoke(case.name, case.method, *call)
    assert answer.code == 0
    case.check(speaking, call, answer)


@pytest.mark.parametrize(
    ("case", "bad"),
    [
        pytest.param(case, bad, id=f"{describe(case)}, {bad.what}")
        for case in CASES
        for bad in case.bad
    ],
)
def test_what_the_class_forbids_is_refused_with_its_code(
    speaking: World, case: Case, bad: Bad
) -> None:
    keys, given = case.call(speaking)
    before = speaking.dump()
    wrong_keys = keys if bad.keys is None else {**(keys or {}), **bad.keys}
    ask(speaking, case, wrong_keys, {**given, **bad.values}, bad.expected)
    assert speaking.dump() == before


@every_case
def test_a_missing_parameter_is_a_fault(speaking: World, case: Case) -> None:
    for missing in inputs(case):
        if missing.get("array") and isinstance(speaking.speaker, WsManSpeaker):
            continue  # there an array without an element is an empty one
        keys, given = case.call(speaking)
        less = {name: value for name, value in given.items() if name != missing["name"]}
        refused(speaking, case, keys, less, INVALID_PARAMETER)


@every_case
def test_an_unknown_parameter_is_a_fault(speaking: World, case: Case) -> None:
    keys, given = case.call(speaking)
    refused(speaking, case, keys, {**given, "Surprise": "1"}, INVALID_PARAMETER)


@every_case
def test_a_value_of_another_type_is_a_fault(speaking: World, case: Case) -> None:
    for item in inputs(case):
        for wrong in (WRONG_TYPES.get(item["type"]), OUT_OF_RANGE.get(item["type"])):
            if wrong:
                keys, given = case.call(speaking)
                refused(speaking, case, keys, {**given, item["name"]: wrong}, TYPE_MISMATCH)


@every_case
def test_an_unknown_method_is_a_fault(speaking: World, case: Case) -> None:
    keys, _ = case.call(speaking)
    with pytest.raises(Refused) as answer:
        speaking.invoke(case.name, f"{case.method}Not", keys, {})
    assert answer.value.status == METHOD_NOT_FOUND


@every_case
def test_an_instance_method_without_keys_is_a_fault(speaking: World, case: Case) -> None:
    keys, given = case.call(speaking)
    if keys is not None:
        refused(speaking, case, None, given, INVALID_PARAMETER)


@every_case
def test_an_instance_that_is_not_there_is_a_fault(speaking: World, case: Case) -> None:
    keys, given = case.call(speaking)
    if case.name == SESSION:
        gone = {"VMHostName": "nowhere.example", "SessionId": 4_000_000}
        ask(speaking, case, gone, given, Returns(SESSION_GONE))
    elif keys is not None:
        absent = {name: ABSENT_KEYS[name] for name in keys}
        refused(speaking, case, absent, given, NOT_FOUND)


@every_case
def test_a_role_without_the_right_is_denied(speaking: World, stranger: Speaker, case: Case) -> None:
    keys, given = case.call(speaking)
    before = speaking.dump()
    with pytest.raises(Refused) as denied:
        stranger.invoke(case.name, case.method, keys, given)
    assert denied.value.status == ACCESS_DENIED
    assert speaking.dump() == before


def inputs(case: Case) -> list[dict[str, Any]]:
    parameters = TABLE[case.name]["methods"][case.method]["parameters"]
    return [item for item in parameters if item["direction"] == "in"]


def ask(
    world: World,
    case: Case,
    keys: Mapping[str, Any] | None,
    given: Mapping[str, Any],
    expected: Returns | Faults,
) -> None:
    """Call and compare the refusal."""
    if isinstance(expected, Faults):
        refused(world, case, keys, given, expected.status)
    else:
        answer = world.invoke(case.name, case.method, keys, given)
        assert answer.code == expected.code, f"{answer.code:#x}"


def refused(
    world: World,
    case: Case,
    keys: Mapping[str, Any] | None,
    given: Mapping[str, Any],
    status: int,
) -> None:
    """A fault of that status, and nothing has changed."""
    before = world.dump()
    with pytest.raises(Refused) as answer:
        world.invoke(case.name, case.method, keys, given)
    assert answer.value.status == status, str(answer.value)
    assert world.dump() == before
