"""What a Prep job would do, found by the code that accepts and plans it."""

from __future__ import annotations

import shutil

from openrdms.model import errors
from openrdms.model.job import JobAction, JobDesktop
from openrdms.model.plan import Plan, PlannedDesktop, PlannedHost, refuse
from openrdms.services.provisioning.acceptance import Acceptance, PrepRequest
from openrdms.services.provisioning.planner import OVERLAY_BYTES
from openrdms.services.provisioning.planning import Planning
from openrdms.services.provisioning.preparing import image_name
from openrdms.services.provisioning.work import Tools

_ASK_SECONDS = 2.0


def plan_prep(tools: Tools, acceptance: Acceptance, request: PrepRequest) -> Plan:
    """What the job would do now, or why it would be refused; nothing changes."""
    try:
        return _plan(tools, acceptance, request)
    except errors.RdmsError as error:
        return refuse(request.collection, JobAction.PREP, error)


def _plan(tools: Tools, acceptance: Acceptance, request: PrepRequest) -> Plan:
    job = acceptance.make_prep_job(request, tools.clock())
    [row] = Planning(tools, tools.images.resolve).make(job).rows
    name, memory = str(job.options["vm"]), int(job.options["memory_mib"])
    parent = tools.images.resolve(f"image:{row.image}") if row.image else None
    most = parent.virtual_bytes if parent else 0
    user, warnings = _find_users(tools, row, name) if row.was_running else ("", ())
    once = int(request.sysprep)  # its copy runs there to be generalised
    host = PlannedHost(
        name=row.host,
        desktops=once,
        bytes_at_first=once * OVERLAY_BYTES,
        bytes_at_most=once * most,
        free_bytes=tools.hosts.get(row.host).describe().free_bytes,
        memory_mib=once * memory,
    )
    stopped = "is shut down while its disk is copied, then started again; " * row.was_running
    return Plan(
        collection=job.collection,
        action=job.action,
        image=image_name(name),
        basis="never measured: copy",
        warnings=warnings,
        hosts=(host,),
        desktops=(
            PlannedDesktop(
                name, row.host, row.reason, user=user, note=stopped + _measure(tools, most, once)
            ),
        ),
    )


def _find_users(tools: Tools, row: JobDesktop, vm: str) -> tuple[str, tuple[str, ...]]:
    """Who is logged on, and a warning when its guest does not say."""
    try:
        sessions = tools.hosts.get(row.host).guest(vm).list_sessions(_ASK_SECONDS)
    except errors.VmNotRunning:
        return "", ()
    except errors.GuestUnreachable:
        return "", (f"the guest of {vm} does not say who is logged on",)
    return ", ".join(sorted({session.account for session in sessions})), ()


def _measure(tools: Tools, most: int, generalised: int) -> str:
    """What becomes of the space on this machine: a copy, and what a generalised one is made to."""
    there = next(path for path in (tools.staging, *tools.staging.parents) if path.exists())
    free = shutil.disk_usage(there).free
    size = f"at most {most * (1 + generalised)}" if most else "nobody knows how many"
    return f"copies take {size} bytes on the service's machine, which has {free} free"
