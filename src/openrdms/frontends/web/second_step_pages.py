"""The second step of signing in: the code of a device, or the device itself for who needs one."""

from __future__ import annotations

from typing import Annotated

import segno
from fastapi import APIRouter, Form, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from openrdms.frontends.web.pages import page
from openrdms.frontends.web.signing_in import (
    PATH as SIGN_IN,
)
from openrdms.frontends.web.signing_in import (
    STEP_COOKIE,
    begin_session,
    check_form,
    lead_to,
    show_form,
)
from openrdms.frontends.web.visitors import address_of, backend_of
from openrdms.model.errors import AlreadyExists, RdmsError
from openrdms.security.sign_in import FirstStep, TooLate
from openrdms.security.totp import Proposal

PATH = f"{SIGN_IN}/code"

router = APIRouter(include_in_schema=False)


def draw(proposal: Proposal) -> str:
    """What a camera takes it from, as the address of a picture."""
    return segno.make(proposal.uri, error="m").svg_data_uri(scale=5, border=4, light="white")


@router.get(PATH)
def show(request: Request) -> Response:
    """The form for the code; who has no device is shown what to put into one."""
    step = backend_of(request).sign_in.find_second_step(request.cookies.get(STEP_COOKIE, ""))
    return _show(request, step) if step else lead_to(SIGN_IN)


def _show(request: Request, step: FirstStep, error: RdmsError | None = None) -> Response:
    second_factors = backend_of(request).sign_in.second_factors
    if second_factors.has(step.account):
        return show_form(request, "sign-in-code.html", error)
    proposal = second_factors.propose(step.account)
    values = {"secret": proposal.secret, "picture": draw(proposal)}
    return show_form(request, "sign-in-device.html", error, **values)


@router.post(PATH)
async def submit(
    request: Request,
    code: Annotated[str, Form(max_length=64)],
    form_token: Annotated[str, Form(max_length=256)] = "",
) -> Response:
    """A session; or the form with what was wrong."""
    check_form(request, form_token)
    secret, address = request.cookies.get(STEP_COOKIE, ""), address_of(request)
    sign_in = backend_of(request).sign_in
    step = sign_in.find_second_step(secret)
    if step is None:
        return lead_to(SIGN_IN)
    try:
        if sign_in.second_factors.has(step.account):
            done = await run_in_threadpool(sign_in.by_code, secret, code, address)
            reply = lead_to(done.following)
            return await begin_session(request, done.account, reply, is_passing=done.is_passing)
        done, codes = await run_in_threadpool(sign_in.by_enrolment, secret, code, address)
    except TooLate:
        return lead_to(SIGN_IN)
    except AlreadyExists:  # another browser was quicker: here a code is asked for
        return lead_to(PATH)
    except RdmsError as error:
        return await run_in_threadpool(_show, request, step, error)
    shown = page(request, "sign-in-recovery.html", codes=codes, next=done.following)
    return await begin_session(request, done.account, shown)
