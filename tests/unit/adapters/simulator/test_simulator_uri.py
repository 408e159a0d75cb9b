from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.adapters.simulator.uri import Settings, parse
from openrdms.model.errors import InvalidParameter

COUNT = st.integers(1, 10**6)
LATENCY = st.integers(0, 10**6)
SETTINGS = st.builds(
    Settings,
    path=st.text("abc/ %ü?#", min_size=1).map(lambda text: Path("/x" + text)),
    hosts=COUNT,
    slots=COUNT,
    capacity=COUNT,
    clone_ms=LATENCY,
    start_ms=LATENCY,
    boot_ms=LATENCY,
    agent_ms=LATENCY,
    destroy_ms=LATENCY,
    save_ms=LATENCY,
    copy_ms=LATENCY,
    memory_mib=COUNT,
    users=LATENCY,
    fail=st.floats(0, 1),
    seed=st.integers(),
)


def test_defaults_are_those_of_the_documentation() -> None:
    documented = (
        "simulator:///srv/sim?hosts=10&slots=2&capacity=100000&clone_ms=50&start_ms=100"
        "&boot_ms=500&agent_ms=20&destroy_ms=20&save_ms=100&copy_ms=200&users=1&fail=0.0&seed=1"
        "&memory_mib=25600000"
    )
    assert parse("simulator:///srv/sim") == parse(documented) == Settings(Path("/srv/sim"))


@given(SETTINGS)
def test_every_setting_is_read_back(settings: Settings) -> None:
    numbers = asdict(settings)
    path = numbers.pop("path")
    assert parse(f"simulator://{quote(str(path))}?{urlencode(numbers)}") == settings


@pytest.mark.parametrize("name", [field.name for field in fields(Settings)][1:])
@pytest.mark.parametrize("text", ["", "x", "nan", "1e999", "--1"])
def test_wrong_number_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match=f"^{name}: ") as refusal:
        parse(f"simulator:///srv/sim?{name}={text}")
    assert refusal.value.field == name


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("host=3", "host"),
        ("Hosts=3", "Hosts"),
        ("hosts=3&hosts=4", "hosts"),
        ("hosts=0", "hosts"),
        ("slots=0", "slots"),
        ("clone_ms=-1", "clone_ms"),
        ("fail=1.1", "fail"),
        ("fail=-0.1", "fail"),
        ("hosts=1.5", "hosts"),
    ],
)
def test_unknown_doubled_or_out_of_range_parameter_is_named(query: str, name: str) -> None:
    with pytest.raises(InvalidParameter) as refusal:
        parse(f"simulator:///srv/sim?{query}")
    assert refusal.value.field == name


@pytest.mark.parametrize(
    "uri",
    ["simulator://", "simulator:///", "simulator://host/srv", "simulator:srv", "qemu:///system"],
)
def test_uri_must_name_a_directory(uri: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^hypervisor: "):
        parse(uri)
