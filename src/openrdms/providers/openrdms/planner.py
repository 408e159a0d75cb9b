"""OpenRDMS_Planner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from openrdms.model.plan import Plan, render_plan
from openrdms.providers.service_provider import Call, Method, ServiceProvider
from openrdms.providers.values import Values, find_text, get_flag, get_text, get_time
from openrdms.services.collections import Collections
from openrdms.services.draining import Draining
from openrdms.services.moving_desktops import MovingDesktops
from openrdms.services.patching import Patching
from openrdms.services.provisioning import Provisioning
from openrdms.services.releasing import Releasing


@dataclass(frozen=True)
class PlannedServices:
    """Those that are asked what they would do."""

    provisioning: Provisioning
    patching: Patching
    moving: MovingDesktops
    releasing: Releasing
    draining: Draining
    collections: Collections


class PlannerProvider(ServiceProvider):
    """What jobs and other changes would do; static methods and no instances."""

    cim_class = "OpenRDMS_Planner"

    def __init__(self, services: PlannedServices) -> None:
        self._services = services
        self.methods = {
            "Plan": _rendered(self._plan),
            "PlanPrep": _rendered(self._plan_prep),
            "PlanPatch": _rendered(self._plan_patch),
            "PlanMove": _rendered(self._plan_move),
            "PlanRelease": _rendered(self._plan_release),
            "PlanDrain": _rendered(self._plan_drain),
            "PlanDeletion": _rendered(self._plan_deletion),
        }

    def _plan(self, given: Values) -> Plan:
        return self._services.provisioning.find_plan(
            get_text(given, "JobInputXml"),
            new=given["NewCollection"] is True,
            patient=given["WaitForUsers"] is True,
        )

    def _plan_prep(self, given: Values) -> Plan:
        return self._services.provisioning.find_prep_plan(
            collection=find_text(given, "CollectionAlias"),
            host=get_text(given, "VMHostName"),
            vm=get_text(given, "VMName"),
            export_to=get_text(given, "ExportToLocation"),
            sysprep=get_flag(given, "bSysPrep"),
        )

    def _plan_patch(self, given: Values) -> Plan:
        return self._services.patching.plan(
            get_text(given, "CollectionAlias"),
            get_time(given, "StartTime"),
            get_time(given, "ForceLogOffTime"),
            get_text(given, "JobInputXml"),
        )

    def _plan_move(self, given: Values) -> Plan:
        name, destination = get_text(given, "VMName"), get_text(given, "DestinationHost")
        return self._services.moving.plan(name, destination)

    def _plan_release(self, given: Values) -> Plan:
        force = given["Force"] is True
        return self._services.releasing.plan(get_text(given, "VMName"), force=force)

    def _plan_drain(self, given: Values) -> Plan:
        drain = given["Drain"] is True
        return self._services.draining.plan(get_text(given, "HostName"), drain=drain)

    def _plan_deletion(self, given: Values) -> Plan:
        return self._services.collections.plan_deletion(get_text(given, "CollectionAlias"))


def _rendered(find: Callable[[Values], Plan]) -> Method:
    def answer(call: Call) -> Values:
        return {"PlanXml": render_plan(find(call.parameters))}

    return answer
