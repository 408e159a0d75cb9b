"""Win32_RDMSManagementData."""

from __future__ import annotations

from openrdms.providers.service_provider import Call, ServiceProvider
from openrdms.providers.values import find_text
from openrdms.services.publishing import Publishing


class ManagementData(ServiceProvider):
    """Makes the feed anew. Context is taken for the alias of a collection; none means all."""

    cim_class = "Win32_RDMSManagementData"

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing
        self.methods = {
            "SynchronizeAllPublishingData": self._synchronize_all,
            "SynchronizePublishingData": self._synchronize,
        }

    def _synchronize_all(self, _: Call) -> None:
        self._publishing.synchronize()

    def _synchronize(self, call: Call) -> None:
        self._publishing.synchronize(find_text(call.parameters, "Context"))
