"""One's own second factor."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from openrdms.frontends.web.api.shapes import Input
from openrdms.frontends.web.visitors import Fresh
from openrdms.model.errors import InvalidOperation

router = APIRouter(prefix="/me/totp", tags=["me"])

_CLASS = "OpenRDMS_OwnAccount"


class Proposed(BaseModel):
    """What a device is to have: its address is what QR codes carry."""

    secret: str
    uri: str


class Shown(Input):
    """What the device shows now."""

    code: Annotated[str, Field(min_length=6, max_length=16)]


class Given(Input):
    """What the device shows now, or one of the recovery codes."""

    code: Annotated[str, Field(max_length=64)]


class Recovery(BaseModel):
    """Codes for who has lost the device; told this once, each is good once."""

    codes: list[str]


@router.post("/proposal")
def propose(visitor: Fresh) -> Proposed:
    """A secret for a device, the same for some minutes. It is good for nothing until confirmed."""
    proposal = visitor.backend.sign_in.second_factors.propose(visitor.account)
    return Proposed(secret=proposal.secret, uri=proposal.uri)


@router.post("")
def enrol(visitor: Fresh, shown: Shown) -> Recovery:
    """Confirm the proposed secret by a code: from now on every sign-in asks for one."""
    second_factors = visitor.backend.sign_in.second_factors
    with visitor.watch(_CLASS, "EnrolSecondFactor", on={"Name": visitor.account.name}):
        return Recovery(codes=second_factors.enrol(visitor.account, shown.code))


@router.post("/removal", status_code=204)
def remove(visitor: Fresh, proof: Given) -> Response:
    """Do without, against a code: who has found the browser open and knows the password has none.

    Not for roles that must have a device.
    """
    sign_in, account = visitor.backend.sign_in, visitor.account
    if sign_in.second_factors.is_required(account):
        raise InvalidOperation(f"the role {account.role} needs a second factor")
    sign_in.check_code(account, proof.code, visitor.address)
    with visitor.watch(_CLASS, "RemoveSecondFactor", on={"Name": account.name}):
        sign_in.second_factors.remove(account)
    return Response(status_code=204)
