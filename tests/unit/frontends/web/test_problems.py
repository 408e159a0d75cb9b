"""Refusals as problem details."""

from __future__ import annotations

import pytest
from fastapi.exceptions import RequestValidationError

from openrdms.frontends.web import problems
from openrdms.frontends.web.back_pressure import Overloaded
from openrdms.frontends.web.visitors import Unauthenticated
from openrdms.model import errors
from openrdms.model.reason import ReasonCode


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.NoRoom("NumberVms", "too many", ReasonCode.NO_MEMORY), ReasonCode.NO_MEMORY),
        (errors.InvalidParameter("NumberVms", "is not a number"), ReasonCode.NOT_AS_ASKED),
        (errors.NotFound("there is no host 'host9'"), ReasonCode.NOT_AS_ASKED),
        (errors.AlreadyExists("there is a collection 'pool'"), ReasonCode.NOT_AS_ASKED),
        (errors.InvalidOperation("a job runs"), ReasonCode.NOT_NOW),
        (errors.RecordsUnavailable("gone"), ReasonCode.NOT_NOW),
        (errors.HostUnavailable("gone"), ReasonCode.HOST_AWAY),
        (errors.OutOfSpace("needs 5 bytes, has 4"), ReasonCode.OUT_OF_SPACE),
        (Overloaded("TooManyRequests", "slower"), "TooManyRequests"),
        (Unauthenticated("who are you?"), None),
        (errors.OperationFailed("broken"), None),
    ],
)
def test_the_code_of_a_refusal(error: errors.RdmsError, reason: str | None) -> None:
    assert problems.from_error(error).reason == reason


def test_what_has_another_shape_than_declared_is_not_as_asked() -> None:
    wrong = RequestValidationError([{"loc": ("body", "action"), "msg": "is missing"}])
    assert problems.from_validation(wrong).reason == ReasonCode.NOT_AS_ASKED
