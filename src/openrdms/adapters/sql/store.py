"""ports.Store over one database."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from openrdms import ports
from openrdms.adapters.sql.accounts import AccountRecords
from openrdms.adapters.sql.audit_log import AuditRecords
from openrdms.adapters.sql.collections import CollectionRecords
from openrdms.adapters.sql.database import Database
from openrdms.adapters.sql.desktop_lists import DesktopListRecords
from openrdms.adapters.sql.desktop_uses import DesktopUseRecords
from openrdms.adapters.sql.desktops import DesktopRecords
from openrdms.adapters.sql.display_tickets import DisplayTicketRecords
from openrdms.adapters.sql.host_settings import HostSettingRecords
from openrdms.adapters.sql.images import ImageRecords
from openrdms.adapters.sql.job_lists import JobListRecords
from openrdms.adapters.sql.jobs import JobRecords
from openrdms.adapters.sql.members import SqlMembers
from openrdms.adapters.sql.nodes import NodeRecords
from openrdms.adapters.sql.patches import PatchRecords
from openrdms.adapters.sql.publishing import PublishingRecords
from openrdms.adapters.sql.rdp_tokens import RdpTokenRecords
from openrdms.adapters.sql.reconciling import ReconcileRecords
from openrdms.adapters.sql.repeated_requests import RepeatedRequestRecords
from openrdms.adapters.sql.reservations import ReservationRecords
from openrdms.adapters.sql.second_factors import SecondFactorRecords
from openrdms.adapters.sql.secrets import SecretRecords
from openrdms.adapters.sql.session_hosts import SessionHostRecords
from openrdms.adapters.sql.sessions import SessionRecords
from openrdms.adapters.sql.settings import SettingRecords
from openrdms.adapters.sql.step_times import StepTimeRecords
from openrdms.adapters.sql.tasks import TaskRecords
from openrdms.adapters.sql.user_messages import UserMessageRecords
from openrdms.adapters.sql.waiting import WaitingRecords, renew_places
from openrdms.adapters.sql.web_sessions import WebSessionRecords
from openrdms.model.change import Kind


class SqlStore(
    CollectionRecords,
    DesktopRecords,
    DesktopListRecords,
    JobRecords,
    JobListRecords,
    ReservationRecords,
    ImageRecords,
    SessionRecords,
    AccountRecords,
    AuditRecords,
    PublishingRecords,
    SessionHostRecords,
    SettingRecords,
    NodeRecords,
    PatchRecords,
    DesktopUseRecords,
    HostSettingRecords,
    StepTimeRecords,
    ReconcileRecords,
    WebSessionRecords,
    DisplayTicketRecords,
    UserMessageRecords,
    TaskRecords,
    RepeatedRequestRecords,
    RdpTokenRecords,
    SecondFactorRecords,
    SecretRecords,
    WaitingRecords,
):
    """All parts over the same database; contracts are those of ports.Store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.on_return(renew_places)

    def subscribe(self, listener: ports.RecordListener) -> None:
        self._database.subscribe(listener)

    def listen(self, listener: ports.RecordListener, missed: Callable[[], None]) -> None:
        self._database.listen(listener, missed)

    def tell_others(self, kind: Kind, keys: Sequence[str]) -> None:
        self._database.tell_others(kind, keys)

    def close(self) -> None:
        self._database.close()


def open_shared_store(
    url: str, service: str, end: Callable[[str], None]
) -> tuple[ports.Store, ports.MemberStore]:
    """As ``open_store``, for one of several services: a new id of 16 hexadecimal digits.

    One that is taken for dead is to ``end``, which is told why.
    """
    database = Database(url, service, end)
    return SqlStore(database), SqlMembers(database)


def open_store(url: str, member: str = "") -> ports.Store:
    """Open the records at an SQLAlchemy URL (``sqlite:////DIR/records.sqlite``).

    ``member`` is the id of the service that does, where there may be several. Makes the database
    when there is none and brings an older one to the newest schema. OperationFailed when it
    cannot be opened.
    """
    return SqlStore(Database(url, member))
