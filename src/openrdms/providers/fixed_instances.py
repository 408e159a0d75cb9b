"""Classes with few instances, all of them known without asking anybody."""

from __future__ import annotations

from openrdms.cim.object_manager import equal_ignoring_case
from openrdms.model import errors
from openrdms.providers.service_provider import ServiceProvider
from openrdms.providers.values import Values


class FixedInstances(ServiceProvider):
    """One instance is found in the list of all, by its keys."""

    def do_get(self, keys: Values) -> Values:
        for values in self.do_list({}):
            if all(equal_ignoring_case(values[name], value) for name, value in keys.items()):
                return values
        raise errors.NotFound(f"{self.cim_class} has no such instance")
