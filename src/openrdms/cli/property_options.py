"""Property keys by friendly names: ``NAME=VALUE`` on the command line, words in what is shown.

Many settings of RDMS are reached by Get…Property and Set…Property, with numbers for choices and
milliseconds for minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import typer

from openrdms.cim.types import CimValue
from openrdms.cli.rdms_client import Absent, RdmsClient, Values

_MINUTE_MS = 60_000


@dataclass(frozen=True)
class Option:
    """One key: how its value is written, and how it is read out."""

    key: str
    takes: str
    parse: Callable[[str], int | str]
    render: Callable[[CimValue], object]
    is_number: bool = True


def number(key: str) -> Option:
    return Option(key, "N", int, lambda value: value)


def minutes(key: str) -> Option:
    """Kept in milliseconds; 0 means none."""
    return Option(
        key,
        "MINUTES",
        lambda text: int(text) * _MINUTE_MS,
        lambda value: int(str(value)) // _MINUTE_MS,
    )


def choice(key: str, *words: str, **numbered: int) -> Option:
    """Words in the order of their numbers from 0, or with their numbers."""
    numbers = numbered or {word: index for index, word in enumerate(words)}
    names = {value: word for word, value in numbers.items()}
    return Option(
        key,
        "|".join(numbers),
        lambda text: numbers[text],
        lambda value: names.get(int(str(value)), value),
    )


def switch(key: str) -> Option:
    return choice(key, "off", "on")


def text(key: str) -> Option:
    return Option(key, "TEXT", str, lambda value: value, is_number=False)


Options = Mapping[str, Option]


def describe(options: Options) -> str:
    """For the help of the argument that takes them."""
    return "; ".join(f"{name}={option.takes}" for name, option in options.items())


def parse(options: Options, given: Iterable[str]) -> dict[str, int | str]:
    """Property keys and values from ``NAME=VALUE`` arguments. typer.BadParameter."""
    return dict(_parse(options, one) for one in given)


def _parse(options: Options, given: str) -> tuple[str, int | str]:
    name, equals, value = given.partition("=")
    option = options.get(name)
    if option is None or not equals:
        raise typer.BadParameter(f"{given!r} is none of {describe(options)}")
    try:
        return option.key, option.parse(value)
    except (KeyError, ValueError):
        raise typer.BadParameter(f"{name} takes {option.takes}, not {value!r}") from None


def write(rdms: RdmsClient, cls: str, keys: Values | None, given: Mapping[str, int | str]) -> None:
    """Set each key. Refused at the first that is."""
    for key, value in given.items():
        kind = "String" if isinstance(value, str) else "Int32"
        rdms.invoke(cls, f"Set{kind}Property", keys, Key=key, Value=value)


def read(rdms: RdmsClient, cls: str, keys: Values | None, options: Options) -> dict[str, object]:
    """Those that have been set, by their friendly names."""
    found: dict[str, object] = {}
    for name, option in options.items():
        kind = "Int32" if option.is_number else "String"
        try:
            value = rdms.invoke(cls, f"Get{kind}Property", keys, Key=option.key)["Value"]
        except Absent:
            continue
        found[name] = option.render(value)
    return found
