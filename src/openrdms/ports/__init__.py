"""Everything the core asks of the outside, as Protocols.

All methods are blocking and safe to call from several threads at once; callers on an event loop
hand them to a thread. They raise only members of ``model.errors``. Every method that changes
something is safe to repeat: asked for what is already so, it succeeds and changes nothing.
One contract suite per port (tests/contract) is run against every adapter.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from openrdms.ports.deployment_store import (
    AccountStore,
    AuditStore,
    NodeStore,
    PatchStore,
    PublishingStore,
    SessionHostStore,
    SettingStore,
)
from openrdms.ports.desktop_list_store import DesktopListStore
from openrdms.ports.directory import Directory, IdentityProvider
from openrdms.ports.hosts import Guest, Host, NodeProbe
from openrdms.ports.images import ImageTools
from openrdms.ports.job_list_store import JobListStore
from openrdms.ports.member_store import MemberStore
from openrdms.ports.pool_store import DesktopUseStore, HostSettingStore, StepTimeStore
from openrdms.ports.provisioning_store import (
    CollectionStore,
    DesktopStore,
    ImageStore,
    JobStore,
    ReservationStore,
    SessionStore,
)
from openrdms.ports.reconcile_store import ReconcileStore
from openrdms.ports.record_notices import RecordListener, RecordNotices
from openrdms.ports.repeated_request_store import RepeatedRequestStore
from openrdms.ports.secret_store import SecretStore
from openrdms.ports.task_store import TaskStore
from openrdms.ports.waiting_store import WaitingStore
from openrdms.ports.web_store import (
    ApiTokenStore,
    DisplayTicketStore,
    RdpTokenStore,
    SecondFactorStore,
    UserMessageStore,
    WebSessionStore,
)

__all__ = [
    "AccountStore",
    "ApiTokenStore",
    "AuditStore",
    "Clock",
    "CollectionStore",
    "DesktopListStore",
    "DesktopStore",
    "DesktopUseStore",
    "Directory",
    "DisplayTicketStore",
    "Guest",
    "Host",
    "HostSettingStore",
    "IdentityProvider",
    "ImageStore",
    "ImageTools",
    "JobListStore",
    "JobStore",
    "MemberStore",
    "NodeProbe",
    "NodeStore",
    "PatchStore",
    "PublishingStore",
    "RdpTokenStore",
    "ReconcileStore",
    "RecordListener",
    "RecordNotices",
    "RepeatedRequestStore",
    "ReservationStore",
    "SecondFactorStore",
    "SecretStore",
    "SessionHostStore",
    "SessionStore",
    "SettingStore",
    "StepTimeStore",
    "Store",
    "TaskStore",
    "UserMessageStore",
    "WaitingStore",
    "WebSessionStore",
]


class Store(
    CollectionStore,
    DesktopStore,
    DesktopListStore,
    JobListStore,
    JobStore,
    ReservationStore,
    ImageStore,
    SessionStore,
    AccountStore,
    AuditStore,
    PublishingStore,
    SessionHostStore,
    SettingStore,
    NodeStore,
    PatchStore,
    DesktopUseStore,
    HostSettingStore,
    StepTimeStore,
    ReconcileStore,
    WebSessionStore,
    ApiTokenStore,
    RdpTokenStore,
    SecondFactorStore,
    DisplayTicketStore,
    UserMessageStore,
    RecordNotices,
    TaskStore,
    RepeatedRequestStore,
    SecretStore,
    WaitingStore,
    Protocol,
):
    """Our records. Each call is one transaction. Aliases and names are compared ignoring case."""

    def close(self) -> None:
        """Let go of the database; every call that returned is kept."""


Clock = Callable[[], datetime]
"""Now, in UTC, time zone aware."""
