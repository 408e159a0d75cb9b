"""For what watches the service: figures for Prometheus, and whether it is alive and ready."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import PlainTextResponse, Response

from openrdms import metrics
from openrdms.cim.guard import ENUMERATE
from openrdms.frontends.web.state_metrics import StateCollector
from openrdms.frontends.web.visitors import Visitor, backend_of, find_visitor
from openrdms.model.errors import AccessDenied, RdmsError
from openrdms.model.job_list import JobQuery
from openrdms.model.web_session import Scope

router = APIRouter(include_in_schema=False)

_CLASS = "Win32_RDMSVirtualDesktop"


async def _measuring(request: Request) -> Visitor:
    """Staff in a browser, or a token of theirs with scope metrics. No page leads here, so nobody
    is led to the sign-in page.
    """
    visitor = await find_visitor(request)
    if visitor is None:
        raise HTTPException(401, "send an API token with scope metrics")
    if not visitor.is_staff:
        raise AccessDenied(f"the role {visitor.account.role} has no administration")
    visitor.require(Scope.METRICS)
    return visitor


@router.get("/metrics")
def get_metrics(visitor: Annotated[Visitor, Depends(_measuring)]) -> Response:
    """Events counted since the start, and states as they are now."""
    states = CollectorRegistry(auto_describe=False)
    states.register(StateCollector(visitor.backend))
    with visitor.watch(_CLASS, ENUMERATE):
        text = generate_latest(states) + generate_latest(metrics.REGISTRY)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@router.get("/healthz")
async def get_health() -> Response:
    """200 while the service answers at all."""
    return PlainTextResponse("alive\n")


@router.get("/readyz")
def get_readiness(request: Request) -> Response:
    """200 when records answer and there are hosts, else 503; why is nobody's business here."""
    backend = backend_of(request)
    try:
        backend.jobs.page(JobQuery(running=True), None, 1)
        is_ready = bool(backend.hosts.all())
    except RdmsError:
        is_ready = False
    if is_ready:
        return PlainTextResponse("ready\n")
    return PlainTextResponse("not ready\n", 503)
