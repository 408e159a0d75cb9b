"""Classes of root/openrdms, which are our own: one file for each."""

from __future__ import annotations

from openrdms.providers.openrdms.host import HostProvider
from openrdms.providers.openrdms.planner import PlannedServices, PlannerProvider
from openrdms.providers.openrdms.pool import PoolProvider, PoolServices

__all__ = ["HostProvider", "PlannedServices", "PlannerProvider", "PoolProvider", "PoolServices"]
