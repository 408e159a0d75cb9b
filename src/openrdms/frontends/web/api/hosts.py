"""Hypervisor hosts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from openrdms.cim.guard import ENUMERATE, GET
from openrdms.frontends.web.api.plans import JobPlan, render_plan
from openrdms.frontends.web.api.shapes import Input, Name
from openrdms.frontends.web.back_pressure import on_hosts
from openrdms.frontends.web.backend import Backend
from openrdms.frontends.web.fields import renamed
from openrdms.frontends.web.paging import Page, Paging
from openrdms.frontends.web.visitors import Reader, Visitor, Writer
from openrdms.services.host_states import HostState

router = APIRouter(prefix="/hosts", tags=["hosts"])

_CLASS = "OpenRDMS_Host"
_FIELDS = {"ConcurrencyFactor": "concurrency", "IdleVmCount": "idle_count", "Drain": "drain"}


class HostSettings(BaseModel):
    """What an administrator has set; null leaves it to the service."""

    concurrency: Annotated[
        int | None, Field(ge=1, le=100, description="How many desktops are made at a time.")
    ]
    idle_count: Annotated[
        int | None,
        Field(ge=0, lt=2**31, description="How many that nobody uses are kept running."),
    ]
    drain: bool = Field(description="It is being emptied, and gets no desktops.")


class Host(BaseModel):
    """A host as it is now. ``reason`` says why it is away or spared."""

    name: str
    reachable: bool
    degraded: bool
    reason: str
    accelerator: str
    capacity: int
    vms: int
    desktops: int
    memory_mib: int = Field(description="What all guests may use together; 0: it does not tell.")
    used_mib: int
    free_bytes: int
    settings: HostSettings


class HostChange(Input):
    """What is left out stays as it is; null gives it back to the service."""

    concurrency: Annotated[int | None, Field(ge=1, le=100)] = None
    idle_count: Annotated[int | None, Field(ge=0, lt=2**31)] = None
    drain: bool = False


def read_hosts(backend: Backend) -> list[Host]:
    """All, in the order in which they were named to the service."""
    return [_render(state) for state in backend.host_states.list()]


def _render(state: HostState) -> Host:
    info = state.info
    return Host(
        name=info.name,
        reachable=info.reachable,
        degraded=state.degraded,
        reason=state.reason,
        accelerator=info.accelerator,
        capacity=info.capacity,
        vms=info.vms,
        desktops=state.desktops,
        memory_mib=info.memory_mib,
        used_mib=info.used_mib,
        free_bytes=info.free_bytes,
        settings=HostSettings(
            concurrency=state.settings.concurrency,
            idle_count=state.settings.idle_count,
            drain=state.settings.drain,
        ),
    )


@router.get("")
@on_hosts
def list_hosts(visitor: Reader, part: Paging) -> Page[Host]:
    """Hosts in order of name; one that is away is not asked."""
    with visitor.watch(_CLASS, ENUMERATE):
        found = visitor.backend.host_states.list()
        return part.cut(found, lambda state: state.info.name.casefold(), _render)


@router.get("/{name}")
@on_hosts
def get_host(visitor: Reader, name: Name) -> Host:
    """One host, by its short or full name."""
    with visitor.watch(_CLASS, GET, on={"Name": name}):
        return _render(visitor.backend.host_states.get(name))


@router.patch("/{name}")
@on_hosts
def change_host(visitor: Writer, name: Name, change: HostChange) -> Host:
    """Change what is set for a host."""
    given = change.model_fields_set
    with renamed(_FIELDS):
        if "concurrency" in given:
            _set_concurrency(visitor, name, change.concurrency)
        if "idle_count" in given:
            _set_idle_count(visitor, name, change.idle_count)
        if "drain" in given:
            _set_drain(visitor, name, change.drain)
    return _render(visitor.backend.host_states.get(name))


@router.post("/{name}/drain/plan")
@on_hosts
def plan_drain(visitor: Reader, name: Name) -> JobPlan:
    """What would become of the desktops of a host that is to be emptied; nothing changes."""
    with visitor.watch("OpenRDMS_Planner", "PlanDrain"):
        return render_plan(visitor.backend.draining.plan(name))


def _set_concurrency(visitor: Visitor, name: str, factor: int | None) -> None:
    with visitor.watch(
        _CLASS, "SetConcurrencyFactor", on={"Name": name}, values={"ConcurrencyFactor": factor}
    ):
        visitor.backend.host_states.set_concurrency(name, factor)


def _set_idle_count(visitor: Visitor, name: str, count: int | None) -> None:
    with visitor.watch(_CLASS, "SetIdleVmCount", on={"Name": name}, values={"IdleVmCount": count}):
        visitor.backend.host_states.set_idle_count(name, count)


def _set_drain(visitor: Visitor, name: str, drain: bool) -> None:  # noqa: FBT001  it is the setting
    with visitor.watch(_CLASS, "SetDrain", on={"Name": name}, values={"Drain": drain}):
        visitor.backend.host_states.set_drain(name, drain)
