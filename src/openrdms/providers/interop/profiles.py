"""CIM_RegisteredProfile."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.providers.fixed_instances import FixedInstances
from openrdms.providers.service_provider import Where
from openrdms.providers.values import Values


class NoProfiles(FixedInstances):
    """None is kept here: there so that clients that list profiles read that, and no error."""

    cim_class = "CIM_RegisteredProfile"

    def do_list(self, where: Where) -> Iterable[Values]:
        return ()
