"""Scenario files: what is read, and which field is named when something is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from openrdms.model.errors import InvalidParameter, NotFound
from openrdms.model.rollout import Share
from openrdms.twin import scenario as scenarios

START = """
name = "Test"
seconds = 100
[hosts]
count = 2
[[collections]]
name = "pool"
desktops = 5
"""


def read(more: str = "") -> scenarios.Scenario:
    return scenarios.read(START + more)


def event(**fields: Any) -> str:
    lines = (f"{name} = {value!r}".replace("'", '"') for name, value in fields.items())
    return "\n".join(["[[events]]", *lines]) + "\n"


def test_defaults() -> None:
    told = read()
    assert told.cluster["slots"] == 2
    assert told.cluster["boot_ms"] == 500
    assert told.idle_count is None
    (pool,) = told.pools
    assert (pool.image, pool.start, pool.rollback, pool.personal) == ("tiny", True, True, False)


def test_events_come_in_order_of_time() -> None:
    update = {"do": "update", "collection": "pool", "image": "tiny", "waves": "1%,100%"}
    told = read(
        event(at=50, **update)
        + event(at=3, do="host-down", host=2)
        + event(at=2.5, do="logon-storm", collection="pool", users=7, over=10, stay=[1, 2])
    )
    storm, fault, patch = told.events
    assert isinstance(storm, scenarios.LogonStorm)
    assert (storm.users, storm.stay, storm.patience) == (7, (1, 2), 600)
    assert fault == scenarios.HostFault(3, 2, "down")
    assert isinstance(patch, scenarios.Update)
    assert patch.waves == (Share(1, percent=True), Share(100, percent=True))
    assert patch.force_after is None


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ("colour = 1", "collections[1].colour"),
        ("type = 'shared'", "collections[1].type"),
        ("start = 1", "collections[1].start"),
        ("[[collections]]\nname = 'b'", "collections[2].desktops"),
        ("[[collections]]\nname = 'b'\ndesktops = 0", "collections[2].desktops"),
        ("[[collections]]\nname = 'b'\ndesktops = 1.5", "collections[2].desktops"),
        ("[[collections]]\nname = 'b'\ndesktops = inf", "collections[2].desktops"),
        (f"[[collections]]\nname = 'b'\ndesktops = {10**400}", "collections[2].desktops"),
        ("[[images]]\nname = 'b'\nfault = 'rust'", "images[1].fault"),
        ("[events]\nat = 1", "events"),
        (event(do="cancel"), "events[1].at"),
        (event(at=1, do="dance"), "events[1].do"),
        (event(at=101, do="cancel", collection="pool"), "events.at"),
        (event(at=1, do="cancel", collection="other"), "events.collection"),
        (event(at=1, do="host-down", host=3), "events.host"),
        (event(at=1, do="host-down", host=True), "events[1].host"),
        (event(at=1, do="image-fault", image="a@1", fault="rust"), "events[1].fault"),
        (
            event(at=1, do="logon-storm", collection="pool", users=1, over=1, stay=[3, 2]),
            "events[1].stay.most",
        ),
        (
            event(at=1, do="logon-storm", collection="pool", users=1, over=1, stay=3),
            "events[1].stay",
        ),
        (
            event(at=1, do="update", collection="pool", image="tiny", waves="10%,5%"),
            "events[1].waves",
        ),
        ("not toml", "scenario"),
    ],
)
def test_names_the_field_that_is_wrong(more: str, field: str) -> None:
    with pytest.raises(InvalidParameter) as wrong:
        read(more.replace("True", "true"))
    assert wrong.value.field == field


@pytest.mark.parametrize("line", ["seconds = 100", 'name = "Test"'])
def test_what_must_be_there(line: str) -> None:
    with pytest.raises(InvalidParameter, match="is missing"):
        scenarios.read(START.replace(line, "", 1))


def test_shipped_scenarios_are_right() -> None:
    names = sorted(path.stem for path in scenarios.SHIPPED.glob("*.toml"))
    assert names == ["broken-image", "host-loss", "logon-storm"]
    for name in names:
        assert scenarios.read(scenarios.find(name).read_text()).events


def test_says_which_scenarios_there_are() -> None:
    with pytest.raises(NotFound, match="logon-storm"):
        scenarios.find("nightmare")
