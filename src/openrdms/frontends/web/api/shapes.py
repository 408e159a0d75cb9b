"""What bodies of requests and replies of several resources are made of."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

MAX_TEXT = 4096

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""Of something that is on record."""

Line = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of printable characters."""


def _check_moment(value: object) -> object:
    """Numbers would be taken for seconds since 1970, which the description does not say."""
    if isinstance(value, datetime) or (isinstance(value, str) and _DATE.match(value)):
        return value
    raise ValueError("is no time as in RFC 3339")


Moment = Annotated[AwareDatetime, BeforeValidator(_check_moment), Field(strict=False)]
"""A time with its offset from UTC."""

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]


class Input(BaseModel):
    """A body that a client sends: nothing in it may be unknown to us, or be of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


def example(**values: Any) -> ConfigDict:
    """What the description shows of a body."""
    return ConfigDict(json_schema_extra={"examples": [values]})


class Count(BaseModel):
    """How many there are."""

    count: Annotated[int, Field(ge=0)]
