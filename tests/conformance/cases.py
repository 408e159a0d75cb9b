"""Every method of the interface once as it should be called, and with what it must refuse."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.case import Case
from conformance.collection_cases import COLLECTION_PROPERTIES, COLLECTIONS
from conformance.deployment_cases import (
    DEPLOYMENT_SETTINGS,
    ENVIRONMENTS,
    MANAGEMENT_DATA,
    NODES,
)
from conformance.desktop_cases import DESKTOPS, SESSIONS
from conformance.session_host_cases import ASSIGNMENTS, RDSH_COLLECTIONS, SERVERS

CASES: Sequence[Case] = [
    *COLLECTION_PROPERTIES,
    *DEPLOYMENT_SETTINGS,
    *ASSIGNMENTS,
    *ENVIRONMENTS,
    *NODES,
    *MANAGEMENT_DATA,
    *DESKTOPS,
    *COLLECTIONS,
    *RDSH_COLLECTIONS,
    *SERVERS,
    *SESSIONS,
]
