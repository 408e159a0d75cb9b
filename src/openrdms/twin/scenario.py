"""Scenario files: a deployment on the simulator and what happens to it, in TOML.

All times are seconds of the scenario's own clock, which begins once the desktops of its
collections are made. Fields without a default here must be given.

    name        what the report is headed with
    seconds     how long it lasts
    seed = 1    for all that is drawn: when users come and how long they stay
    speed = 10  how many of its seconds pass in one of the machine's, if the machine can

    [hosts]         count = 10, slots = 2, memory_mib, idle_count (spares that each keeps running;
                    unset: all), and the simulator's latencies: clone_ms, start_ms, boot_ms,
                    agent_ms, destroy_ms, save_ms, copy_ms
    [[images]]      name, fault = "" ("no-agent", "probe", "corrupt"): beside tiny@1; the second
                    of a name is its version 2
    [[collections]] name, type = "pooled" ("personal": assigned at first connection), desktops,
                    image = "tiny", start = true (false makes them and leaves them off),
                    rollback = true
    [[events]]      at, do, and by what is done:
      "logon-storm"   collection, users, over (seconds in which they come), stay = [600, 1800]
                      (how long each stays, least and most), patience = 600
      "host-down", "host-slow", "host-up"   host (number, from 1)
      "image-fault"   image (NAME@VERSION), fault = "" mends it
      "update"        collection, image, waves = "100%", probe = "", force_after (seconds until
                      who is left is logged off; unset: never within the scenario)
      "grow"          collection, desktops (that are added)
      "cancel"        collection: whatever job it has
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from openrdms.adapters.simulator.controls import IMAGE_FAULTS
from openrdms.adapters.simulator.uri import Settings
from openrdms.model.errors import InvalidParameter, NotFound
from openrdms.model.rollout import Share, parse_waves
from openrdms.twin.table import Table

SHIPPED = Path(__file__).parent / "scenarios"
"""Where the scenarios are that come with the program, NAME.toml."""

_LATENCIES = [field.name for field in fields(Settings) if field.name.endswith("_ms")]
_HOST_FAULTS = {"host-down": "down", "host-slow": "slow", "host-up": ""}


@dataclass(frozen=True)
class Image:
    """The next version of an image beside the simulator's own, and what is wrong with it."""

    name: str
    fault: str


@dataclass(frozen=True)
class Pool:
    """A collection and what it is filled with."""

    name: str
    personal: bool
    desktops: int
    image: str
    start: bool
    rollback: bool


@dataclass(frozen=True)
class LogonStorm:
    """Users who come within ``over`` seconds, stay from ``stay[0]`` to ``stay[1]`` seconds and
    give up when they got no desktop for ``patience`` seconds."""

    at: float
    collection: str
    users: int
    over: float
    stay: tuple[float, float]
    patience: float


@dataclass(frozen=True)
class HostFault:
    """``fault`` as the simulator has it: down, slow, "" mends."""

    at: float
    host: int
    fault: str


@dataclass(frozen=True)
class ImageFault:
    """``image`` is NAME@VERSION."""

    at: float
    image: str
    fault: str


@dataclass(frozen=True)
class Update:
    """A SchedulePatch whose StartTime is ``at``."""

    at: float
    collection: str
    image: str
    waves: tuple[Share, ...]
    probe: str
    force_after: float | None


@dataclass(frozen=True)
class Grow:
    """More desktops."""

    at: float
    collection: str
    desktops: int


@dataclass(frozen=True)
class Cancel:
    """Of the collection's job, or of what is scheduled."""

    at: float
    collection: str


Event = LogonStorm | HostFault | ImageFault | Update | Grow | Cancel


@dataclass(frozen=True)
class Scenario:
    """``cluster`` are parameters of a simulator's URI; ``idle_count`` of each host, None leaves it
    to the service. Events are in order of time."""

    name: str
    seconds: float
    seed: int
    speed: float
    cluster: dict[str, int]
    idle_count: int | None
    images: tuple[Image, ...]
    pools: tuple[Pool, ...]
    events: tuple[Event, ...]


def find(name: str) -> Path:
    """The file of that name, or the scenario that is shipped under it. NotFound."""
    given, shipped = Path(name), SHIPPED / f"{name}.toml"
    if given.exists():
        return given
    if shipped.exists():
        return shipped
    known = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.toml")))
    raise NotFound(f"{name} is neither a file nor one of the scenarios {known}")


def read(text: str) -> Scenario:
    """The scenario in ``text``. InvalidParameter names the field that is missing or wrong."""
    try:
        document = Table(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidParameter("scenario", f"is not TOML: {error}") from error
    hosts = document.table("hosts")
    scenario = Scenario(
        name=document.text("name"),
        seconds=document.number("seconds", low=1),
        seed=document.count("seed", 1),
        speed=document.number("speed", 10, low=0.1, high=1000),
        idle_count=_optional(hosts, "idle_count"),
        cluster=_ended(hosts, _read_hosts(hosts)),
        images=tuple(_ended(table, _read_image(table)) for table in document.tables("images")),
        pools=tuple(_ended(table, _read_pool(table)) for table in document.tables("collections")),
        events=tuple(_read_events(document)),
    )
    document.end()
    _check(scenario)
    return scenario


_Read = TypeVar("_Read")


def _ended(table: Table, value: _Read) -> _Read:
    table.end()
    return value


def _read_hosts(table: Table) -> dict[str, int]:
    defaults = Settings(Path())
    cluster = {"hosts": table.count("count", defaults.hosts, low=1)}
    for name in ("slots", "memory_mib", *_LATENCIES):
        low = 0 if name in _LATENCIES else 1
        cluster[name] = table.count(name, getattr(defaults, name), low=low)
    return cluster


def _optional(table: Table, name: str) -> int | None:
    """A count; None when it is not there."""
    return table.count(name) if name in table else None


def _read_image(table: Table) -> Image:
    return Image(table.text("name"), table.choice("fault", IMAGE_FAULTS, ""))


def _read_pool(table: Table) -> Pool:
    return Pool(
        name=table.text("name"),
        personal=table.choice("type", ("pooled", "personal"), "pooled") == "personal",
        desktops=table.count("desktops", low=1),
        image=table.text("image", "tiny"),
        start=table.flag("start", default=True),
        rollback=table.flag("rollback", default=True),
    )


def _read_events(document: Table) -> list[Event]:
    events = [_ended(table, _read_event(table)) for table in document.tables("events")]
    return sorted(events, key=lambda event: event.at)


def _read_event(table: Table) -> Event:
    at, do = table.number("at"), table.choice("do", _EVENTS)
    return _EVENTS[do](table, at, do)


def _read_storm(table: Table, at: float, _: str) -> Event:
    return LogonStorm(
        at=at,
        collection=table.text("collection"),
        users=table.count("users", low=1),
        over=table.number("over"),
        stay=table.span("stay", (600.0, 1800.0)),
        patience=table.number("patience", 600),
    )


def _read_host_fault(table: Table, at: float, do: str) -> Event:
    return HostFault(at, table.count("host", low=1), _HOST_FAULTS[do])


def _read_image_fault(table: Table, at: float, _: str) -> Event:
    return ImageFault(at, table.text("image"), table.choice("fault", IMAGE_FAULTS, ""))


def _read_update(table: Table, at: float, _: str) -> Event:
    return Update(
        at=at,
        collection=table.text("collection"),
        image=table.text("image"),
        waves=parse_waves(table.path("waves"), table.text("waves", "100%")),
        probe=table.text("probe", ""),
        force_after=_optional(table, "force_after"),
    )


def _read_grow(table: Table, at: float, _: str) -> Event:
    return Grow(at, table.text("collection"), table.count("desktops", low=1))


def _read_cancel(table: Table, at: float, _: str) -> Event:
    return Cancel(at, table.text("collection"))


_EVENTS = {
    "logon-storm": _read_storm,
    "host-down": _read_host_fault,
    "host-slow": _read_host_fault,
    "host-up": _read_host_fault,
    "image-fault": _read_image_fault,
    "update": _read_update,
    "grow": _read_grow,
    "cancel": _read_cancel,
}


def _check(scenario: Scenario) -> None:
    """What events name must be there, and they must come while the scenario lasts."""
    pools = {pool.name for pool in scenario.pools}
    if not pools:
        raise InvalidParameter("collections", "there is none")
    for event in scenario.events:
        what = f"the event at {event.at:g}"
        if event.at > scenario.seconds:
            raise InvalidParameter("events.at", f"{what} is after the end, {scenario.seconds:g}")
        if isinstance(event, HostFault):
            if event.host > scenario.cluster["hosts"]:
                raise InvalidParameter("events.host", f"{what}: there is no host {event.host}")
        elif not isinstance(event, ImageFault) and event.collection not in pools:
            raise InvalidParameter(
                "events.collection", f"{what}: there is no collection {event.collection!r}"
            )
