"""OpenRDMS_Planner."""

from __future__ import annotations

from openrdms.providers.service_provider import Call, ServiceProvider
from openrdms.providers.values import Values, get_text
from openrdms.services.provisioning import Provisioning


class PlannerProvider(ServiceProvider):
    """What jobs would do; one static method and no instances."""

    cim_class = "OpenRDMS_Planner"

    def __init__(self, provisioning: Provisioning) -> None:
        self._provisioning = provisioning
        self.methods = {"Plan": self._plan}

    def _plan(self, call: Call) -> Values:
        document = get_text(call.parameters, "JobInputXml")
        new = call.parameters["NewCollection"] is True
        patient = call.parameters["WaitForUsers"] is True
        return {"PlanXml": self._provisioning.plan(document, new=new, patient=patient)}
