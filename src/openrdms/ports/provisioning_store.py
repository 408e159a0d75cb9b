"""Records that provisioning works on: collections, desktops, jobs, images, sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from openrdms.model.collection import (
    Collection,
    CollectionState,
    ProvisioningSettings,
    ReferenceDesktop,
)
from openrdms.model.desktop import Desktop, DesktopSummary
from openrdms.model.desktop_use import DesktopUse
from openrdms.model.image import ImageUsers, ImageVersion
from openrdms.model.job import Job, JobDesktop
from openrdms.model.session import SessionKey


class CollectionStore(Protocol):
    """Collections and what comes and goes with them."""

    def list_collections(self) -> list[Collection]: ...
    def find_collection(self, alias: str) -> Collection | None: ...
    def create_collection(self, collection: Collection) -> None:
        """AlreadyExists when a collection, of desktops or of sessions, has the alias or name."""

    def change_collection(
        self, alias: str, change: Callable[[Collection], Collection]
    ) -> Sequence[str]:
        """Replace the instance properties by those of what ``change`` makes of the collection.

        One transaction; ``change`` must be quick and may not use the store. Alias, ``state`` and
        ``job_guid`` are left alone. NotFound; AlreadyExists when the name is taken.

        Returns the desktops whose uses are others now since the collection resets them from now
        on, or no more (``DesktopUse.resets``). READY ones of a collection that begins to are
        UNREADY then.
        """

    def delete_collection(self, alias: str) -> None:
        """InvalidOperation when managed and it has desktops or a running job; NotFound."""

    def check_deletion(self, alias: str) -> None:
        """Raise what ``delete_collection`` would now; nothing changes."""

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


class DesktopStore(Protocol):
    """Desktops on record."""

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

    def count_desktops(self) -> Mapping[str, int]:
        """How many there are on each host that has any, by its case-folded name."""

    def list_given_up(self, name: str | None = None) -> frozenset[str]:
        """Case-folded names of desktops that jobs still running have given up.

        Of the one called ``name``, or of all.
        """

    def find_desktop(self, name: str) -> Desktop | None: ...
    def list_moving(self) -> list[Desktop]:
        """Those on their way to another host, in order of name."""

    def find_assigned(self, collection: str, user: str, domain: str) -> Desktop | None:
        """The desktop that a user has in a collection."""

    def put_desktops(self, desktops: Iterable[Desktop]) -> None:
        """Insert or replace, by name. InvalidOperation for a host that takes no desktops."""

    def change_desktop(
        self,
        name: str,
        change: Callable[[Desktop | None], Desktop | None],
        *,
        idle: bool = False,
    ) -> Desktop | None:
        """Replace the record by what ``change`` makes of it, in one transaction.

        ``change`` gets and gives None for "no record"; what it raises leaves the record as it
        was. It must be quick and may not use the store. AlreadyExists when the user it names
        has another desktop in that collection. When it must be ``idle``, InvalidOperation
        names the running job that has it in work.
        """

    def was_member(self, alias: str, name: str) -> bool:
        """True when that desktop is or ever was a member of the collection that exists now."""


class Reserved(NamedTuple):
    """A desktop that a running job has planned. ``was_running`` is of those that it recreates."""

    host: str
    name_key: str
    image: str
    was_running: bool


class ReservationStore(Protocol):
    """What the plans of running jobs have taken, read without reading the plans."""

    def list_reserved(self, guid: str) -> list[Reserved]:
        """The desktops that a job has planned, but those it has given up."""

    def list_names_in_use(self, without_job: str) -> list[tuple[str, str]]:
        """Case-folded name and MAC of every desktop on record, and of those that running jobs but
        that one have planned.
        """


class JobStore(Protocol):
    """Provisioning jobs and their desktops."""

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

    def adopt_job(self, guid: str) -> None:
        """Where several services share the records: this one runs the job from now on. What
        another one plans, writes or ends of it later is Fenced there.
        """

    def find_runner(self, guid: str) -> str:
        """The id of the service that has adopted the job, "" when none has."""

    def put_job_option(self, guid: str, name: str, value: int) -> None:
        """Note something for what carries the job out. NotFound."""

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

        With it ``settings``, when given, become the collection's, and uses are released as by
        ``release_uses``. False, and nothing written, when a cancel was accepted and
        ``cancel_seen`` is not set: the workflow then turns to its undo. A job that has ended is
        left as it is (True).
        """

    def add_job_desktops(
        self, desktops: Sequence[JobDesktop], next_index: int | None
    ) -> list[JobDesktop]:
        """Record a job's plan unless it has one; returns the plan on record.

        It comes in parts, the row with ordinal 0 last: rows without that one are no plan, and
        are replaced. So a plan that is refused or interrupted has had no effect.
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
        marks: Mapping[str, str] | None = None,
    ) -> None:
        """Write intents and results and the job's ``modified``, in one transaction.

        Of planned desktops status, phases, words, reason and ``was_running`` change, nothing else.
        With it the desktops named by ``dropped`` are deleted and ``records`` are written: where
        a record of the same name and uuid exists, only image, generation, identity_set and
        status of it change, since membership and user may have changed while the job ran.

        The use of a desktop in ``records`` becomes WORK with the job as its ``claim``. ``marks``
        are what guests said of log-ons, by name of desktops that the job has in WORK: one that
        has none, or "", must be prepared before anybody gets it.
        """

    def release_uses(
        self, guid: str, now: datetime, names: Iterable[str] | None = None
    ) -> list[DesktopUse]:
        """Let go of what the job has in WORK, all or those of ``names``: READY with a mark, else
        UNREADY. Other uses lose its claim. Returns what has changed, as it is now.
        """


class ImageStore(Protocol):
    """Versions of golden images."""

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

    def next_image_version(self, name: str) -> int:
        """The number that ``add_image`` would give: no version ever had it."""

    def find_image_users(self, image: ImageVersion) -> ImageUsers:
        """Who needs that version now."""

    def remove_image(self, image: ImageVersion) -> ImageUsers:
        """Have no such version any more, unless somebody needs it; returns who does.

        From then on no job that uses it is accepted.
        """

    def list_removed_images(self) -> list[ImageVersion]:
        """All that ever were: hosts may still have copies of them."""


class SessionStore(Protocol):
    """Ids of user sessions."""

    def session_ids(self, host: str, keys: Sequence[SessionKey]) -> dict[SessionKey, int]:
        """Ids on that host, given once and never again to another key."""

    def find_session(self, host: str, session_id: int) -> SessionKey | None: ...
