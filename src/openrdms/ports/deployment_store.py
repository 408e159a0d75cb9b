"""Records beside provisioning: accounts, audit log, publishing, session hosts, settings, nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from openrdms.model.account import Account
from openrdms.model.assignment import Assignment, AssignmentFilter
from openrdms.model.audit import AuditedCall, AuditHead, AuditQuery, AuditRecord
from openrdms.model.job import Job
from openrdms.model.node import Node
from openrdms.model.patch import Patch
from openrdms.model.publishing import Application, FileType, Resource
from openrdms.model.session_host import ServerState, SessionCollection, SessionHost
from openrdms.model.setting import SettingValue


class AccountStore(Protocol):
    """Accounts and groups (security.accounts). Names ignore case."""

    def list_accounts(self, names: Iterable[str] | None = None) -> list[Account]:
        """All, or those of these names; all in order of name."""

    def put_account(
        self,
        account: Account,
        before: Account | None = None,
        *,
        revoke: bool = False,
        leave_administrator: bool = False,
    ) -> bool:
        """Insert it, or replace ``before``, which has its name. False, and nothing is written, when
        something else is on record by now: another service was quicker. With ``revoke``
        everything that was handed out to it, by which somebody comes in without its password,
        goes in the same transaction. With ``leave_administrator`` InvalidOperation when it takes
        the last enabled administrator away, whichever service takes away the others.
        """

    def delete_account(self, name: str) -> None:
        """Remove the account; its SID stays with the name. Absent is fine. InvalidOperation for
        the last enabled administrator.
        """

    def list_confirmations(self, names: Iterable[str] | None = None) -> dict[str, datetime]:
        """When the directory of an account has said last that it is so, by name."""

    def confirm_accounts(self, names: Iterable[str], confirmed: datetime | None) -> None:
        """Note that, or with None that the directory has it no more."""

    def account_sid(self, name: str, *, built_in: bool = False) -> str:
        """The SID of the account of that name, the same for ever, made at first.

        ``built_in`` gives a name that has none the SID of the built-in administrator, unless
        another name has that. AlreadyExists when the name is, or was, a group's.
        """

    def group_sid(self, name: str) -> str:
        """The SID of the group of that name, made at first; AlreadyExists as above."""


class AuditStore(Protocol):
    """The audit log, append only."""

    def append_audit(self, records: Sequence[AuditRecord]) -> None:
        """Add records, whose sequences must be new."""

    def chain_audit(
        self, follow: Callable[[AuditHead], Sequence[AuditRecord]], service: str
    ) -> Sequence[AuditRecord]:
        """Add, and return, what ``follow`` makes of the last record there is: nobody else adds any
        meanwhile. They are of that service.
        """

    def list_audit(self, after: int = 0, limit: int = 1000) -> list[AuditRecord]:
        """The next records whose sequence is above ``after``, in order, at most ``limit``.

        None only when there are no more.
        """

    def list_unanswered_audit(self, service: str = "") -> list[AuditRecord]:
        """Records of that service that something was asked for which no record is ``of``, in order.

        "" is one that was alone.
        """

    def last_audit(self) -> AuditRecord | None: ...

    def list_audited_calls(self, query: AuditQuery) -> list[AuditedCall]:
        """Calls that match, in order."""


class PublishingStore(Protocol):
    """Published applications, file types and the feed made of them.

    ``change`` functions are those of ``Store.change_collection``. All that belongs to a
    collection, of desktops or of sessions, goes with it.
    """

    def list_applications(self, collection: str | None = None) -> list[Application]:
        """In order of collection and alias."""

    def find_application(self, collection: str, alias: str) -> Application | None: ...
    def create_application(self, application: Application) -> Application:
        """Returns it with the alias as its collection has it.

        AlreadyExists; InvalidParameter when there is no collection of that alias.
        """

    def change_application(
        self, collection: str, alias: str, change: Callable[[Application], Application]
    ) -> None:
        """Collection and alias stay. NotFound."""

    def delete_application(self, collection: str, alias: str) -> None:
        """With it go its file types. NotFound."""

    def list_file_types(
        self, collection: str | None = None, application: str | None = None
    ) -> list[FileType]:
        """In order of collection, application and extension."""

    def find_file_type(
        self, collection: str, application: str, extension: str
    ) -> FileType | None: ...
    def create_file_type(self, file_type: FileType) -> FileType:
        """Returns it with the aliases as on record.

        AlreadyExists; InvalidParameter when there is no such application.
        """

    def change_file_type(
        self,
        collection: str,
        application: str,
        extension: str,
        change: Callable[[FileType], FileType],
    ) -> None:
        """What names it stays. NotFound."""

    def delete_file_type(self, collection: str, application: str, extension: str) -> None:
        """NotFound."""

    def rebuild_feed(self, collection: str | None = None) -> None:
        """Make the feed anew from its sources, in one transaction. NotFound.

        Every change of a source has done so for its collection.
        """

    def list_feed(self) -> list[Resource]:
        """In order of collection and application, a collection's desktop first."""


class SessionHostStore(Protocol):
    """Session collections, their servers, desktop assignments.

    What ``change`` functions get and give is one record, in one transaction; what they raise
    leaves it as it was. They must be quick and may not use the store.
    """

    def list_session_collections(self) -> list[SessionCollection]:
        """In order of alias."""

    def find_session_collection(self, alias: str) -> SessionCollection | None: ...
    def create_session_collection(self, collection: SessionCollection) -> None:
        """AlreadyExists when any collection, of desktops too, has the alias or the name."""

    def change_session_collection(
        self, alias: str, change: Callable[[SessionCollection], SessionCollection]
    ) -> None:
        """The alias stays. NotFound; AlreadyExists as for ``create_session_collection``."""

    def delete_session_collection(self, alias: str) -> None:
        """All that belongs to it goes too. NotFound; InvalidOperation while it has servers."""

    def find_session_collection_value(self, alias: str, key: str) -> int | str | None: ...
    def set_session_collection_value(self, alias: str, key: str, value: int | str) -> None:
        """Whatever kind of value it had. NotFound without the collection."""

    def find_pair(self, alias: str, key: str) -> str | None:
        """A collection's key/value pairs are apart from its property values."""

    def compare_and_set_pair(
        self, alias: str, key: str, comparand: str | None, value: str
    ) -> str | None:
        """Set the value when it equals ``comparand`` or there is none; returns what was before.

        Of several callers with the same comparand one sets. NotFound without the collection.
        """

    def delete_pair(self, alias: str, key: str) -> None:
        """NotFound."""

    def list_session_hosts(self, collection: str | None = None) -> list[SessionHost]:
        """In order of name; only members of ``collection``, of none for ""."""

    def find_session_host(self, name: str) -> SessionHost | None: ...
    def create_session_host(self, host: SessionHost) -> None:
        """AlreadyExists; InvalidParameter when there is no collection of that alias."""

    def change_session_host(self, name: str, change: Callable[[SessionHost], SessionHost]) -> None:
        """Name and state stay. A server that leaves its collection is nobody's desktop.

        NotFound; InvalidParameter when there is no collection of that alias.
        """

    def delete_session_host(self, name: str) -> None:
        """With it go its values and its assignment. NotFound."""

    def find_session_host_value(self, name: str, key: str) -> int | str | None: ...
    def set_session_host_value(self, name: str, key: str, value: int | str) -> None:
        """Whatever kind of value it had. NotFound without the server."""

    def test_and_set_state(self, name: str, comparand: int, state: ServerState) -> ServerState:
        """As ``StartQueue.test_and_set``; returns the state before. NotFound."""

    def take_pending_starts(self, limit: int) -> list[str]:
        """Names of at most ``limit`` servers that wait to be started, longest waiting first.

        They wait no longer: no caller ever gets one that another got.
        """

    def list_assignments(self, wanted: AssignmentFilter) -> list[Assignment]:
        """In order of collection and desktop."""

    def add_assignment(self, assignment: Assignment) -> Assignment:
        """Returns it with the names of collection and desktop as they are on record.

        NotFound without the collection or the server; InvalidOperation when the collection is
        not personal or the server not its own; AlreadyExists when the user has a desktop in the
        collection, the same even, or the desktop has a user.
        """

    def remove_assignments(self, wanted: AssignmentFilter) -> int:
        """How many went."""


class SettingStore(Protocol):
    """Settings of the deployment (Win32_RDMSDeploymentSettings). Keys are found ignoring case."""

    def find_setting(self, key: str) -> SettingValue | None: ...
    def change_setting(
        self,
        key: str,
        value: SettingValue | None,
        check: Callable[[Mapping[str, SettingValue]], None] = lambda _: None,
    ) -> None:
        """Set a key, whatever kind of value it had, or with None remove it. NotFound when unset.

        ``check`` gets what all settings will be then, by case-folded key, in the same
        transaction; what it raises leaves them as they were. It must be quick and may not use
        the store.
        """


class NodeStore(Protocol):
    """Servers that were joined, and what was changed of others (model.node)."""

    def list_nodes(self) -> list[Node]:
        """Records, in order of name."""

    def join_node(self, node: Node) -> None:
        """AlreadyExists when a node of that name has joined, or another one has that SID."""

    def change_node(self, default: Node, change: Callable[[Node], Node | None]) -> None:
        """Replace the record, or ``default`` while there is none, by what ``change`` makes of it.

        None removes the record. ``change`` must be quick and may not use the store; what it
        raises leaves all as it was. InvalidOperation when the node is to take desktops no more
        and has some on record, or in the plan of a running job.
        """


class PatchStore(Protocol):
    """Patches scheduled for a collection: the last one of each, as long as the collection is."""

    def schedule_patch(self, patch: Patch) -> None:
        """Keep it in the place of an earlier one, and the collection in UPDATE_SCHEDULED.

        InvalidOperation unless the collection's state is in IDLE_STATES; NotFound without it.
        """

    def find_patch(self, collection: str) -> Patch | None: ...
    def find_patch_of_job(self, guid: str) -> Patch | None: ...
    def list_waiting_patches(self) -> list[Patch]:
        """Those that are to start still, the first one first."""

    def start_patch(self, job: Job) -> bool:
        """Accept the job of the patch that has its guid, in one transaction with both states.

        False, and nothing written, when the patch waits no more; True when that job was
        accepted before.
        """

    def cancel_patch(self, collection: str, now: datetime) -> Patch:
        """Cancel it, if it still waits, and the collection's state with it; as it is then.

        InvalidOperation when nothing was ever scheduled.
        """

    def fail_patch(self, guid: str, error: str, now: datetime) -> bool:
        """Say why it could become no job; False when it waits no more."""
