"""Administration of hypervisor hosts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from openrdms.frontends.admin.target import Progress, Target
from openrdms.model.plan import render_plan
from openrdms.services.host_states import HostState


def list_hosts(target: Target, _: Progress) -> list[dict[str, Any]]:
    return [_plain(state) for state in target.host_states.list()]


def set_host(target: Target, _: Progress, *, host: str, settings: dict[str, Any]) -> dict[str, Any]:
    """``settings`` are concurrency, idle_count and drain, as far as they change; None: "unset"."""
    if "concurrency" in settings:
        target.host_states.set_concurrency(host, settings["concurrency"])
    if "idle_count" in settings:
        target.host_states.set_idle_count(host, settings["idle_count"])
    if "drain" in settings:
        target.host_states.set_drain(host, settings["drain"] is True)
    return _plain(target.host_states.get(host))


def plan_drain(target: Target, _: Progress, *, host: str, drain: bool) -> str:
    """What ``drain`` would do if it were set so now, as XML (model.plan)."""
    return render_plan(target.draining.plan(host, drain=drain))


def plan_forgetting(target: Target, _: Progress, *, host: str) -> str:
    """What "host forget" would do now, as XML (model.plan)."""
    return render_plan(target.reconciling.plan_forgetting(host))


def _plain(state: HostState) -> dict[str, Any]:
    return {
        **asdict(state.info),
        **asdict(state.settings),
        "desktops": state.desktops,
        "degraded": state.degraded,
        "reason": state.reason,
    }
