"""Everything the core asks of the outside, as Protocols.

All methods are blocking and safe to call from several threads at once; callers on an event loop
hand them to a thread. They raise only members of ``model.errors``. Every method that changes
something is safe to repeat: asked for what is already so, it succeeds and changes nothing.
One contract suite per port (tests/contract) is run against every adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from openrdms.model.account import Account
from openrdms.model.assignment import Assignment, AssignmentFilter
from openrdms.model.audit import AuditedCall, AuditQuery, AuditRecord
from openrdms.model.collection import (
    Collection,
    CollectionState,
    ProvisioningSettings,
    ReferenceDesktop,
)
from openrdms.model.desktop import Desktop, DesktopSummary
from openrdms.model.host import (
    GuestIdentity,
    GuestSession,
    HostInfo,
    InstalledApplication,
    Leftover,
    Ownership,
    VmEvent,
    VmInfo,
    VmSpec,
    VmSummary,
)
from openrdms.model.image import ImageVersion
from openrdms.model.job import Job, JobDesktop
from openrdms.model.node import Node
from openrdms.model.patch import Patch
from openrdms.model.publishing import Application, FileType, Resource
from openrdms.model.session import SessionKey
from openrdms.model.session_host import ServerState, SessionCollection, SessionHost
from openrdms.model.setting import SettingValue


class Guest(Protocol):
    """The operating system inside one running VM, reached through its guest agent alone.

    ``timeout`` is in seconds and bounds the whole call. Raises GuestUnreachable when the agent
    does not answer in time, VmNotRunning when the VM is off.
    """

    def ping(self, timeout: float) -> None:
        """Return when the agent answers."""

    def list_sessions(self, timeout: float) -> list[GuestSession]:
        """User sessions, greeters and services left out."""

    def send_message(self, session: GuestSession, title: str, text: str, timeout: float) -> None:
        """Show a message in that session; returns when it was seen to be shown.

        Raises SessionGone, SessionDenied or OperationFailed (no way to show it there).
        """

    def disconnect(self, session: GuestSession, timeout: float) -> None:
        """Disconnect the session and leave it running; returns when it was seen to be so."""

    def log_off(self, session: GuestSession, timeout: float) -> None:
        """End the session; returns when it is gone."""

    def list_applications(self, timeout: float) -> list[InstalledApplication]:
        """What is installed for all users and can be started, without what menus hide."""

    def set_identity(self, identity: GuestIdentity, timeout: float) -> None:
        """Give the guest its own hostname, machine-id and MAC; repeatable."""

    def generalise(self, timeout: float) -> None:
        """Remove what must not be cloned (machine-id, host keys, logs; sysprep on Windows)."""


class Host(Protocol):
    """One hypervisor host. ``name`` is compared ignoring case, short or full."""

    @property
    def name(self) -> str: ...

    @property
    def slots(self) -> int:
        """How many clones, starts and stops at once are worth while; more only wait."""

    def describe(self) -> HostInfo:
        """Facts about the host; never raises HostUnavailable (``reachable`` says it)."""

    def list_vms(self) -> list[VmInfo]:
        """All VMs, strangers' too."""

    def page_vms(self, after: str, until: str | None, limit: int) -> list[VmSummary]:
        """The first ``limit`` VMs in order of case-folded name, strangers' too.

        Only of those whose case-folded name is above ``after`` and not above ``until``.
        """

    def find_vm(self, name: str) -> VmInfo | None:
        """The VM of that name (ignoring case) or None."""

    def images(self) -> list[ImageVersion]:
        """Images the host brings with it (the simulator's ``tiny``); most have none."""

    def create_disk(self, spec: VmSpec) -> None:
        """Make the disk of that generation: overlay or full copy of ``spec.image``.

        Repeatable; a half-made disk is replaced. Raises OutOfSpace before writing.
        """

    def delete_disk(self, vm: str, generation: int) -> None:
        """Remove that generation's disk, whole or half made; absent is fine."""

    def define(self, spec: VmSpec) -> None:
        """Define the VM over its disk; on a VM already defined (Patch) the disk is exchanged.

        Same uuid and MAC always. The VM must be off; a saved one loses its saved state with its
        disk. Never touches a VM without our metadata.
        """

    def undefine(self, vm: str) -> None:
        """Remove the definition and what hangs on it (NVRAM, sockets). The VM must be off.

        InvalidOperation for a VM that is not ours or was adopted.
        """

    def start(self, vm: str) -> None:
        """Let it run: boot it, resume it when paused, restore it when saved; running is fine."""

    def pause(self, vm: str) -> None:
        """Stop its processors and keep its memory; paused is fine.

        InvalidOperation when it is off or saved, or not ours.
        """

    def save(self, vm: str) -> None:
        """Write its memory to disk and stop it; ``start`` goes on from there. Saved is fine.

        InvalidOperation when it is off or not ours.
        """

    def shut_down(self, vm: str, timeout: float) -> None:
        """Ask the guest, resumed if need be, to shut down and wait for it; off is fine.

        OperationFailed on time-out; InvalidOperation when it is saved.
        """

    def destroy(self, vm: str) -> None:
        """Stop it at once and drop its saved state; off or absent is fine.

        InvalidOperation for a VM that is not ours.
        """

    def set_ownership(self, vm: str, ownership: Ownership | None) -> None:
        """Write or remove our metadata (adoption); the rest of the definition stays."""

    def export_disk(self, vm: str, target: Path) -> int:
        """Copy the disk of a stopped VM, flattened, to a new qcow2 file; returns virtual bytes."""

    def screenshot(self, vm: str) -> bytes:
        """The guest's screen as PNG."""

    def guest(self, vm: str) -> Guest:
        """A handle; nothing is contacted yet."""

    def subscribe(self, callback: Callable[[VmEvent], None]) -> Callable[[], None]:
        """Call ``callback`` from some thread on every event; returns how to end it."""

    def list_leftovers(self) -> list[Leftover]:
        """Every VM, disk, snapshot, saved state, NVRAM file, socket and QEMU process of ours."""

    def close(self) -> None:
        """Let go of the host; VMs keep running."""


class NodeProbe(Protocol):
    """Looks whether a machine is there that is to join the deployment."""

    def require_answer(self, fqdn: str) -> None:
        """HostUnavailable says what was tried and what each attempt came to."""


class ImageTools(Protocol):
    """Makes and reads disk images. Long calls report progress as (fraction, words)."""

    def build(
        self, variant: str, target: Path, progress: Callable[[float, str], None]
    ) -> ImageVersion:
        """Build ``tiny`` or ``desktop`` into the directory ``target`` (name and version unset)."""

    def import_disk(
        self, source: Path, target: Path, progress: Callable[[float, str], None]
    ) -> tuple[Path, int]:
        """Convert qcow2, VHDX, VMDK or raw to qcow2 in ``target``; returns file, virtual bytes."""


class AccountStore(Protocol):
    """Accounts and groups (security.accounts). Names ignore case."""

    def list_accounts(self) -> list[Account]:
        """In order of name."""

    def put_account(self, account: Account) -> None:
        """Insert or replace, by name."""

    def delete_account(self, name: str) -> None:
        """Remove the account; its SID stays with the name. Absent is fine."""

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

    def list_audit(self, after: int = 0, limit: int = 1000) -> list[AuditRecord]:
        """The next records whose sequence is above ``after``, in order, at most ``limit``.

        None only when there are no more.
        """

    def list_unanswered_audit(self) -> list[AuditRecord]:
        """Records that something was asked for which no record is ``of``, in order."""

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
    def next_patch(self) -> Patch | None:
        """The one that is to start first, of those that wait."""

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


class Store(
    AccountStore,
    AuditStore,
    PublishingStore,
    SessionHostStore,
    SettingStore,
    NodeStore,
    PatchStore,
    Protocol,
):
    """Our records. Each call is one transaction. Aliases and names are compared ignoring case."""

    # collections
    def list_collections(self) -> list[Collection]: ...
    def find_collection(self, alias: str) -> Collection | None: ...
    def create_collection(self, collection: Collection) -> None:
        """AlreadyExists when a collection, of desktops or of sessions, has the alias or name."""

    def change_collection(self, alias: str, change: Callable[[Collection], Collection]) -> None:
        """Replace the instance properties by those of what ``change`` makes of the collection.

        One transaction; ``change`` must be quick and may not use the store. Alias, ``state`` and
        ``job_guid`` are left alone. NotFound; AlreadyExists when the name is taken.
        """

    def delete_collection(self, alias: str) -> None:
        """InvalidOperation when managed and it has desktops or a running job; NotFound."""

    def get_property(self, alias: str, key: str) -> int | str | None:
        """None when it was never set. NotFound without the collection."""

    def set_property(self, alias: str, key: str, value: int | str) -> None: ...
    def find_provisioning(self, alias: str) -> ProvisioningSettings | None: ...
    def set_provisioning(self, alias: str, settings: ProvisioningSettings) -> None: ...
    def find_reference(self, alias: str) -> ReferenceDesktop | None: ...
    def change_reference(
        self, alias: str, change: Callable[[ReferenceDesktop], ReferenceDesktop]
    ) -> None:
        """Replace what ``change`` is given, in one transaction, as for ``change_collection``."""

    # desktops
    def list_desktops(
        self,
        collection: str | None = None,
        *,
        home: str | None = None,
        identity_set: bool | None = None,
    ) -> list[Desktop]:
        """In order of name; only members of ``collection``, only those made for ``home``."""

    def page_desktops(
        self, after: str, limit: int, collection: str | None = None
    ) -> list[DesktopSummary]:
        """The first ``limit`` of ``list_desktops`` whose key is above ``after``."""

    def list_given_up(self, name: str | None = None) -> frozenset[str]:
        """Case-folded names of desktops that jobs still running have given up.

        Of the one called ``name``, or of all.
        """

    def find_desktop(self, name: str) -> Desktop | None: ...
    def put_desktops(self, desktops: Iterable[Desktop]) -> None:
        """Insert or replace, by name."""

    def change_desktop(
        self, name: str, change: Callable[[Desktop | None], Desktop | None]
    ) -> Desktop | None:
        """Replace the record by what ``change`` makes of it, in one transaction.

        ``change`` gets and gives None for "no record"; what it raises leaves the record as it
        was. It must be quick and may not use the store. AlreadyExists when the user it names
        has another desktop in that collection.
        """

    def was_member(self, alias: str, name: str) -> bool:
        """True when that desktop is or ever was a member of the collection that exists now."""

    # jobs
    def accept_job(self, job: Job, settings: ProvisioningSettings | None = None) -> None:
        """Insert the job and set its collection's state and job_guid, in one transaction.

        With it ``settings`` become the collection's (a Create); AlreadyExists when another
        collection has that name prefix. InvalidOperation unless the collection's state is in
        IDLE_STATES and no job of it runs; NotFound without the collection. Prep jobs touch no
        collection. A job accepted before is left as it is.
        """

    def find_job(self, guid: str) -> Job | None: ...
    def list_jobs(self, *, running: bool, collection: str | None = None) -> list[Job]: ...
    def request_cancel(self, guid: str, now: datetime) -> Job:
        """Set cancel_requested once and the states to CANCEL_INPROGRESS, in one transaction.

        Repeating it is fine, even when the cancelled job has ended. NotFound; InvalidOperation
        when it ended without a cancel or is a Delete.
        """

    def end_job(
        self,
        guid: str,
        state: CollectionState,
        error: str,
        now: datetime,
        *,
        cancel_seen: bool = False,
        settings: ProvisioningSettings | None = None,
    ) -> bool:
        """Set the final state of job and collection in one transaction; True when done.

        With it ``settings``, when given, become the collection's. False, and nothing written,
        when a cancel was accepted and ``cancel_seen`` is not set: the workflow then turns to its
        undo. A job that has ended is left as it is (True).
        """

    def add_job_desktops(
        self, desktops: Sequence[JobDesktop], next_index: int | None
    ) -> list[JobDesktop]:
        """Record a job's plan unless it has one; returns the plan on record.

        ``next_index`` advances the collection's NameStartIndex. AlreadyExists when a name means
        another VM on record or is in work by another running job, be it as the VM that a Prep
        job copies (options ``host`` and ``vm``); nor may this job copy one in work.
        InvalidOperation names a host that has left the deployment.
        """

    def list_job_desktops(self, guid: str) -> list[JobDesktop]:
        """In order of ordinal."""

    def put_job_desktops(
        self,
        desktops: Sequence[JobDesktop],
        now: datetime,
        *,
        records: Iterable[Desktop] = (),
        dropped: Iterable[str] = (),
    ) -> None:
        """Write a batch's intent or result and the job's ``modified``, in one transaction.

        With it the desktops named by ``dropped`` are deleted and ``records`` are written: where
        a record of the same name and uuid exists, only image, generation, identity_set and
        status of it change, since membership and user may have changed while the job ran.
        """

    # images
    def list_images(self, *, settled: bool = False) -> list[ImageVersion]:
        """All, or only the ``settled``: an image goes if the job that made it is cancelled, so
        those of running jobs are left out.
        """

    def find_image(
        self, name: str, version: int | None = None, *, settled: bool = False
    ) -> ImageVersion | None:
        """That version, or the newest one; ``settled`` as for ``list_images``."""

    def add_image(self, image: ImageVersion, *, job: str | None = None) -> ImageVersion:
        """Record it under the next free version number, which the returned value carries.

        The image that ``job`` (a GUID) has recorded before is returned as it is.
        """

    def drop_image(self, job: str) -> ImageVersion | None:
        """Remove the version that ``job`` recorded, which nobody can have used; returns it."""

    # sessions
    def session_ids(self, host: str, keys: Sequence[SessionKey]) -> dict[SessionKey, int]:
        """Ids on that host, given once and never again to another key."""

    def find_session(self, host: str, session_id: int) -> SessionKey | None: ...

    def close(self) -> None:
        """Let go of the database; every call that returned is kept."""


Clock = Callable[[], datetime]
"""Now, in UTC, time zone aware."""
