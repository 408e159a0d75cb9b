"""Refusals name fields as the caller knows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from openrdms.model import errors


@contextmanager
def renamed(fields: Mapping[str, str]) -> Iterator[None]:
    """What is raised inside about one of ``fields`` is about what that stands for here."""
    try:
        yield
    except errors.NoRoom as error:
        raise errors.NoRoom(_find(fields, error), _words(error), error.reason) from error
    except errors.InvalidParameter as error:
        raise errors.InvalidParameter(_find(fields, error), _words(error)) from error


def _find(fields: Mapping[str, str], error: errors.InvalidParameter) -> str:
    return fields.get(error.field, error.field)


def _words(error: errors.InvalidParameter) -> str:
    return str(error).removeprefix(f"{error.field}: ")
