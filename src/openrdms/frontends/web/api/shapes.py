"""What bodies of requests and replies of several resources are made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_TEXT = 4096

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""Of something that is on record."""

Line = Annotated[str, StringConstraints(max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""One line of printable characters."""

Text = Annotated[str, StringConstraints(max_length=MAX_TEXT)]


class Input(BaseModel):
    """A body that a client sends: nothing in it may be unknown to us, or be of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Accepted(BaseModel):
    """Something that has no more to say than that it was done."""

    done: bool = True


class Count(BaseModel):
    """How many there are."""

    count: Annotated[int, Field(ge=0)]
