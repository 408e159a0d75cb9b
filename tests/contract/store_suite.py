"""What every ``ports.Store`` promises. An adapter's test file runs it against its own store:

    class TestSqliteStore(StoreSuite):
        ...

and supplies the fixture ``open_store``: a function that opens the same records at each call.
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openrdms.model import errors
from openrdms.model.collection import (
    IDLE_STATES,
    Collection,
    CollectionState,
    CollectionType,
    ProvisioningSettings,
    ReferenceDesktop,
)
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import DiskKind
from openrdms.model.image import DiskBus, Firmware, GuestOs, ImageUsers, ImageVersion
from openrdms.model.job import (
    RUNNING_STATE,
    Job,
    JobAction,
    JobDesktop,
    Phase,
    VmStatus,
    parse_guid,
)
from openrdms.model.session import SessionKey
from openrdms.ports import Store

NOW = datetime(2026, 5, 4, 3, 2, 1, 500, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
OpenStore = Callable[[], Store]


def make_collection(alias: str = "farm", **changes: object) -> Collection:
    collection = Collection(alias, f"The {alias}", CollectionType.POOLED, is_managed=True)
    return replace(collection, **changes)  # type: ignore[arg-type]


def make_settings(prefix: str = "vd-") -> ProvisioningSettings:
    return ProvisioningSettings(
        vhd_type="DiffDisk",
        base_vm_location="image:tiny",
        image="tiny@1",
        name_prefix=prefix,
        name_start_index=1,
        local_vm_location="",
        local_gold_location="",
        run_from_smb=False,
        smb_location="",
        smb_streaming=False,
        domain="example.org",
        ou="OU=desktops",
        unattend_xml="<unattend />",
    )


def make_desktop(name: str, collection: str = "farm", **changes: object) -> Desktop:
    desktop = Desktop(
        name=name,
        host="host1",
        uuid=uuid5(UUID(int=1), name),
        mac="52:54:00:00:00:01",
        collection=collection,
        home="farm",
        image="tiny@1",
        disk_kind=DiskKind.LINKED,
        generation=1,
        status=DesktopStatus.SUCCESS,
    )
    return replace(desktop, **changes)  # type: ignore[arg-type]


def make_job(collection: str = "farm", action: JobAction = JobAction.CREATE) -> Job:
    return Job(
        guid=parse_guid(str(uuid4())),
        collection=collection,
        action=action,
        state=RUNNING_STATE.get(action, CollectionState.UNKNOWN),
        document="<job />",
        options={"wave": 3, "host": "host1", "start": True},
        started=NOW,
        modified=NOW,
    )


def make_copying(vm: str) -> Job:
    return replace(make_job("", JobAction.PREP), options={"vm": vm, "host": "HOST1"})


def make_plan(job: Job, *names: str) -> list[JobDesktop]:
    return [
        JobDesktop(
            job=job.guid,
            ordinal=ordinal,
            name=name,
            host="host1",
            uuid=uuid5(UUID(int=1), name),
            mac="52:54:00:00:00:01",
            image="tiny@1",
            disk_kind=DiskKind.LINKED,
            generation=1,
        )
        for ordinal, name in enumerate(names)
    ]


def make_image(name: str = "tiny") -> ImageVersion:
    return ImageVersion(
        name=name,
        version=0,
        disk=Path("/images") / name,
        virtual_bytes=5 * 2**40,
        sha256="0" * 64,
        os=GuestOs.LINUX,
        firmware=Firmware.KERNEL,
        memory_mib=256,
        vcpus=1,
        disk_bus=DiskBus.VIRTIO,
        created=NOW,
        kernel=Path("/images/vmlinuz"),
        cmdline="console=ttyS0",
    )


class StoreSuite:
    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Store:
        return open_store()

    @pytest.fixture
    def farm(self, store: Store) -> Collection:
        collection = make_collection()
        store.create_collection(collection)
        return collection

    # collections

    def test_a_collection_keeps_every_property_over_a_restart(self, open_store: OpenStore) -> None:
        collection = make_collection(
            description="Größe: 5 < 6",
            security_descriptor="O:WDG:WDD:ARP",
            vm_farm_settings='<Farm><Metadata Name="SaveDelay" Value="0" /></Farm>',
            user_vhd_setting="<UVHDTemplateSetting />",
            icon=bytes(range(256)),
            show_in_portal=False,
            is_ha=True,
            rollback_enabled=False,
        )
        first = open_store()
        first.create_collection(collection)
        first.close()
        assert open_store().find_collection("farm") == collection

    @pytest.mark.parametrize("alias", ["STRASSE", "Straße", "strasse"])
    def test_lookups_ignore_case_as_unicode_has_it(self, store: Store, alias: str) -> None:
        store.create_collection(make_collection("straße"))
        found = store.find_collection(alias)
        assert found is not None
        assert found.alias == "straße"

    def test_alias_and_name_are_taken_in_any_case(self, store: Store, farm: Collection) -> None:
        with pytest.raises(errors.AlreadyExists, match="Alias"):
            store.create_collection(make_collection("FARM", name="another"))
        with pytest.raises(errors.AlreadyExists, match="Name"):
            store.create_collection(make_collection("other", name=farm.name.upper()))

    def test_an_update_leaves_job_and_state_alone(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        store.change_collection("FARM", lambda one: replace(one, description="new", name="Renamed"))
        found = store.find_collection("farm")
        assert found is not None
        assert (found.description, found.name) == ("new", "Renamed")
        assert (found.state, found.job_guid) == (job.state, job.guid)

    def test_an_update_is_refused_for_the_name_of_another(
        self, store: Store, farm: Collection
    ) -> None:
        store.create_collection(make_collection("other"))
        with pytest.raises(errors.AlreadyExists):
            store.change_collection("farm", lambda one: replace(one, name="THE OTHER"))
        with pytest.raises(errors.NotFound):
            store.change_collection("nobody", lambda one: one)

    def test_deleting_takes_settings_and_properties_along(
        self, store: Store, farm: Collection
    ) -> None:
        store.set_property("farm", "MaxMonitors", 2)
        store.set_provisioning("farm", make_settings())
        store.change_reference("farm", lambda one: replace(one, name="master"))
        store.delete_collection("FARM")
        store.create_collection(farm)
        assert store.get_property("farm", "MaxMonitors") is None
        assert store.find_provisioning("farm") is None
        assert store.find_reference("farm") is None
        with pytest.raises(errors.NotFound):
            store.delete_collection("other")

    @pytest.mark.parametrize(
        "desktop",
        [make_desktop("vd-1"), make_desktop("vd-1", ""), make_desktop("vd-1", home="")],
        ids=["member", "former member", "adopted"],
    )
    def test_a_managed_collection_with_desktops_stays(
        self, store: Store, farm: Collection, desktop: Desktop
    ) -> None:
        store.put_desktops([desktop])
        with pytest.raises(errors.InvalidOperation, match="vd-1"):
            store.delete_collection("farm")

    def test_a_collection_with_a_running_job_stays(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        with pytest.raises(errors.InvalidOperation, match="running"):
            store.delete_collection("farm")
        store.end_job(job.guid, CollectionState.JOB_COMPLETED, "", LATER)
        store.delete_collection("farm")
        assert store.find_job(job.guid) is not None

    def test_an_unmanaged_collection_lets_its_members_go(self, store: Store) -> None:
        store.create_collection(make_collection("loose", is_managed=False))
        ours = make_desktop("vd-1", "loose", user="ann", user_domain="d")
        store.put_desktops([ours, make_desktop("theirs", "loose", home="")])
        store.delete_collection("loose")
        assert store.list_desktops() == [replace(ours, collection="", user=None, user_domain=None)]

    @pytest.mark.parametrize("value", [0, -(2**31), 2**31 - 1, "", "text", "5"])
    def test_a_property_keeps_value_and_kind(
        self, store: Store, farm: Collection, value: int | str
    ) -> None:
        assert store.get_property("farm", "Key") is None
        store.set_property("farm", "Key", "before")
        store.set_property("FARM", "KEY", value)
        found = store.get_property("farm", "key")
        assert (found, type(found)) == (value, type(value))

    def test_parts_of_no_collection_are_refused(self, store: Store) -> None:
        for write in (
            lambda: store.get_property("none", "Key"),
            lambda: store.set_property("none", "Key", 1),
            lambda: store.set_provisioning("none", make_settings()),
            lambda: store.change_reference("none", lambda one: one),
        ):
            with pytest.raises(errors.NotFound):
                write()

    def test_settings_and_reference_are_kept(self, store: Store, farm: Collection) -> None:
        store.set_provisioning("farm", make_settings())
        reference = ReferenceDesktop(name="master", ram_mib=4096, adapters=("a", "b"))
        store.change_reference("farm", lambda _: reference)
        assert store.find_provisioning("Farm") == make_settings()
        assert store.find_reference("Farm") == reference

    def test_a_name_prefix_belongs_to_one_collection(self, store: Store, farm: Collection) -> None:
        store.create_collection(make_collection("other"))
        store.set_provisioning("farm", make_settings("VD-"))
        with pytest.raises(errors.AlreadyExists, match="NamingPrefix"):
            store.accept_job(make_job("other"), make_settings("vd-"))
        other = store.find_collection("other")
        assert other is not None
        assert other.state is CollectionState.UNKNOWN

    # desktops

    def test_desktops_are_listed_by_membership_and_by_home(self, store: Store) -> None:
        member = make_desktop("b")
        former = make_desktop("a", "")
        adopted = make_desktop("c", home="")
        store.put_desktops([member, former, adopted])
        assert store.list_desktops() == [former, member, adopted]
        assert store.list_desktops("FARM") == [member, adopted]
        assert store.list_desktops(home="Farm") == [former, member]
        assert store.list_desktops("", home="farm") == [former]
        store.put_desktops([replace(former, identity_set=False)])
        assert [one.name for one in store.list_desktops(identity_set=False)] == ["a"]
        assert store.list_desktops(identity_set=True) == [member, adopted]

    def test_desktops_are_paged_in_order_of_name(self, store: Store) -> None:
        user = {"user": "ann", "user_domain": "d"}
        store.put_desktops([make_desktop("C", **user), make_desktop("a", ""), make_desktop("b")])
        first, second, third = store.page_desktops("", 5)
        assert third == ("c", "C", "host1", DesktopStatus.SUCCESS, "farm", "ann", "d")
        assert third.status is DesktopStatus.SUCCESS
        assert [first.name, second.name] == ["a", "b"]
        assert store.page_desktops("", 2) == [first, second]
        assert store.page_desktops("b", 2) == [third]
        assert store.page_desktops("", 2, "FARM") == [second, third]
        assert store.page_desktops("", 2, "") == [first]
        assert store.page_desktops("c", 2) == []

    def test_what_a_running_job_has_given_up(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        first, second = make_plan(job, "Vd-1", "vd-2")
        store.add_job_desktops([first, second], None)
        assert store.list_given_up() == frozenset()
        store.put_job_desktops([replace(first, status=VmStatus.FAILED)], LATER)
        assert store.list_given_up() == store.list_given_up("VD-1") == {"vd-1"}
        assert store.list_given_up("vd-2") == frozenset()
        store.end_job(job.guid, CollectionState.JOB_ABORTED, "", LATER)
        assert store.list_given_up() == frozenset()

    def test_a_desktop_is_replaced_by_name_and_deleted(self, store: Store) -> None:
        store.put_desktops([make_desktop("vd-1")])
        newer = make_desktop("VD-1", generation=2, identity_set=False)
        store.put_desktops([newer])
        assert store.find_desktop("vd-1") == newer
        store.change_desktop("Vd-1", lambda _: None)
        store.change_desktop("never there", lambda _: None)
        assert store.find_desktop("vd-1") is None

    def test_a_change_sees_the_record_and_replaces_it(self, store: Store) -> None:
        desktop = make_desktop("vd-1")
        assert store.change_desktop("vd-1", lambda _: desktop) == desktop
        changed = store.change_desktop("VD-1", lambda now: now and replace(now, generation=7))
        assert changed == store.find_desktop("vd-1") == replace(desktop, generation=7)
        assert store.change_desktop("vd-1", lambda _: None) is None
        assert store.list_desktops() == []

    def test_a_change_that_raises_changes_nothing(self, store: Store) -> None:
        store.put_desktops([make_desktop("vd-1")])

        def refuse(desktop: Desktop | None) -> Desktop | None:
            raise errors.InvalidOperation("no")

        with pytest.raises(errors.InvalidOperation, match="no"):
            store.change_desktop("vd-1", refuse)
        assert store.find_desktop("vd-1") == make_desktop("vd-1")

    def test_what_a_job_has_in_work_is_not_idle(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        (row,) = store.add_job_desktops(make_plan(job, "vd-1"), None)
        desktop = replace(make_desktop("VD-1"), uuid=row.uuid)
        store.put_desktops([desktop])
        with pytest.raises(errors.InvalidOperation, match=re.escape(job.guid)):
            store.change_desktop("vd-1", lambda _: None, idle=True)
        store.end_job(job.guid, CollectionState.JOB_ABORTED, "", LATER)
        store.change_desktop("vd-1", lambda _: None, idle=True)
        assert store.find_desktop("vd-1") is None

    def test_a_user_has_one_desktop_in_a_collection(self, store: Store) -> None:
        store.put_desktops([make_desktop("a"), make_desktop("b"), make_desktop("c", "other")])

        def give(desktop: Desktop | None) -> Desktop | None:
            return desktop and replace(desktop, user="Ann", user_domain="D")

        store.change_desktop("a", give)
        store.change_desktop("c", give)
        with pytest.raises(errors.AlreadyExists, match="desktop a"):
            store.change_desktop("b", give)

    def test_the_desktop_of_a_user_is_found_in_any_case(self, store: Store) -> None:
        theirs = make_desktop("vd-1", user="Ann", user_domain="LAB")
        others = make_desktop("vd-2", "barn", user="ann", user_domain="lab")
        store.put_desktops([theirs, others, make_desktop("vd-3")])
        assert store.find_assigned("FARM", "ANN", "lab") == theirs
        assert store.find_assigned("barn", "Ann", "LAB") == others
        assert store.find_assigned("farm", "ann", "") is None

    def test_membership_is_remembered_until_the_collection_goes(
        self, store: Store, farm: Collection
    ) -> None:
        assert not store.was_member("farm", "vd-1")
        store.put_desktops([make_desktop("vd-1")])
        store.change_desktop("vd-1", lambda _: None)
        assert store.was_member("Farm", "VD-1")
        assert not store.was_member("other", "vd-1")
        store.delete_collection("farm")
        assert not store.was_member("farm", "vd-1")

    def test_twenty_thousand_desktops(self, store: Store) -> None:
        store.put_desktops(make_desktop(f"vd-{number}") for number in range(20_000))
        assert len(store.list_desktops("farm")) == 20_000

    # accepting jobs

    def test_accepting_writes_job_collection_and_settings(
        self, open_store: OpenStore, farm: Collection
    ) -> None:
        job = make_job("FARM")
        first = open_store()
        first.accept_job(job, make_settings())
        first.close()
        store = open_store()
        assert store.find_job(job.guid) == job
        assert store.find_provisioning("farm") == make_settings()
        found = store.find_collection("farm")
        assert found is not None
        assert (found.state, found.job_guid) == (job.state, job.guid)

    def test_accepting_again_changes_nothing(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        store.request_cancel(job.guid, LATER)
        store.accept_job(job)
        found = store.find_job(job.guid)
        assert found is not None
        assert found.cancel_requested == LATER

    def test_a_job_needs_its_collection_unless_it_prepares_an_image(self, store: Store) -> None:
        with pytest.raises(errors.NotFound, match="nobody"):
            store.accept_job(make_job("nobody"))
        prep = make_job("nobody", JobAction.PREP)
        store.accept_job(prep)
        assert store.list_jobs(running=True) == [prep]

    def test_preparing_leaves_the_collection_alone(self, store: Store, farm: Collection) -> None:
        prep = make_job(action=JobAction.PREP)
        store.accept_job(prep)
        store.accept_job(make_job(action=JobAction.PREP))
        store.request_cancel(prep.guid, NOW)
        store.end_job(prep.guid, CollectionState.JOB_ABORTED, "", LATER, cancel_seen=True)
        assert store.find_collection("farm") == farm

    @pytest.mark.parametrize("state", sorted(set(CollectionState) - {CollectionState.UNKNOWN}))
    def test_a_collection_takes_a_job_in_idle_states_only(
        self, store: Store, farm: Collection, state: CollectionState
    ) -> None:
        store.delete_collection("farm")
        store.create_collection(replace(farm, state=state))
        if state in IDLE_STATES:
            store.accept_job(make_job())
        else:
            with pytest.raises(errors.InvalidOperation, match=state.name):
                store.accept_job(make_job())
        assert len(store.list_jobs(running=True)) == (state in IDLE_STATES)

    def test_of_racing_jobs_exactly_one_is_accepted(
        self, open_store: OpenStore, farm: Collection
    ) -> None:
        jobs = [make_job() for _ in range(8)]
        ready = threading.Barrier(len(jobs))
        stores = [open_store(), open_store()]

        def accept(number: int) -> bool:
            ready.wait()
            try:
                stores[number % 2].accept_job(jobs[number])
            except errors.InvalidOperation:
                return False
            return True

        with ThreadPoolExecutor(len(jobs)) as threads:
            accepted = list(threads.map(accept, range(len(jobs))))
        assert sum(accepted) == 1
        assert stores[0].list_jobs(running=True) == [jobs[accepted.index(True)]]

    def test_jobs_are_listed_by_state_and_collection(self, store: Store, farm: Collection) -> None:
        store.create_collection(make_collection("other"))
        ended, running, other = make_job(), make_job(), make_job("other")
        store.accept_job(ended)
        store.end_job(ended.guid, CollectionState.JOB_COMPLETED, "", LATER)
        store.accept_job(replace(running, started=LATER))
        store.accept_job(replace(other, started=NOW + timedelta(seconds=1)))
        assert [job.guid for job in store.list_jobs(running=True)] == [other.guid, running.guid]
        assert [job.guid for job in store.list_jobs(running=True, collection="FARM")] == [
            running.guid
        ]
        assert [job.guid for job in store.list_jobs(running=False)] == [ended.guid]
        assert store.list_jobs(running=False, collection="other") == []

    def test_times_come_back_in_utc(self, store: Store, farm: Collection) -> None:
        east = NOW.astimezone(timezone(timedelta(hours=5)))
        store.accept_job(replace(make_job(), started=east))
        (found,) = store.list_jobs(running=True)
        assert found.started == NOW
        assert found.started.utcoffset() == timedelta(0)

    # cancelling and ending

    def test_a_cancel_is_set_once_and_shown(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        cancelled = store.request_cancel(job.guid, NOW)
        assert cancelled.state is CollectionState.CANCEL_INPROGRESS
        assert cancelled.cancel_requested == NOW
        assert store.request_cancel(job.guid, LATER) == cancelled
        found = store.find_collection("farm")
        assert found is not None
        assert found.state is CollectionState.CANCEL_INPROGRESS

    def test_what_cannot_be_cancelled(self, store: Store, farm: Collection) -> None:
        with pytest.raises(errors.NotFound):
            store.request_cancel(make_job().guid, NOW)
        delete = make_job(action=JobAction.DELETE)
        store.accept_job(delete)
        with pytest.raises(errors.InvalidOperation, match="Delete"):
            store.request_cancel(delete.guid, NOW)
        store.end_job(delete.guid, CollectionState.JOB_COMPLETED, "", NOW)
        with pytest.raises(errors.InvalidOperation, match="ended"):
            store.request_cancel(delete.guid, NOW)

    def test_a_cancel_accepted_once_stays_accepted(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        store.request_cancel(job.guid, NOW)
        store.end_job(job.guid, CollectionState.JOB_ABORTED, "", NOW, cancel_seen=True)
        again = store.request_cancel(job.guid, LATER)
        assert (again.state, again.cancel_requested) == (CollectionState.JOB_ABORTED, NOW)

    def test_ending_writes_job_collection_and_settings(
        self, store: Store, farm: Collection
    ) -> None:
        job = make_job()
        store.accept_job(job, make_settings())
        newer = replace(make_settings(), image="tiny@2")
        state = CollectionState.UPDATE_FAILED
        assert store.end_job(job.guid, state, "broken", LATER, settings=newer)
        found = store.find_job(job.guid)
        assert found == replace(job, state=state, error="broken", ended=LATER, modified=LATER)
        collection = store.find_collection("farm")
        assert collection is not None
        assert (collection.state, collection.job_guid) == (state, job.guid)
        assert store.find_provisioning("farm") == newer

    def test_ending_an_ended_job_leaves_it_and_the_next_one_alone(
        self, store: Store, farm: Collection
    ) -> None:
        first, second = make_job(), make_job()
        store.accept_job(first)
        store.end_job(first.guid, CollectionState.JOB_COMPLETED, "", NOW)
        store.accept_job(second)
        assert store.end_job(first.guid, CollectionState.JOB_ABORTED, "late", LATER)
        found, collection = store.find_job(first.guid), store.find_collection("farm")
        assert found is not None
        assert collection is not None
        assert (found.state, found.error) == (CollectionState.JOB_COMPLETED, "")
        assert (collection.state, collection.job_guid) == (second.state, second.guid)

    @pytest.mark.parametrize("state", [CollectionState.JOB_COMPLETED, CollectionState.JOB_ABORTED])
    def test_an_end_that_has_not_seen_the_cancel_is_refused(
        self, store: Store, farm: Collection, state: CollectionState
    ) -> None:
        job = make_job()
        store.accept_job(job)
        cancelled = store.request_cancel(job.guid, NOW)
        assert not store.end_job(job.guid, state, "", LATER)
        assert store.find_job(job.guid) == cancelled

    def test_a_cancelled_job_cannot_be_stored_as_completed(
        self, store: Store, farm: Collection
    ) -> None:
        job = make_job()
        store.accept_job(job)
        store.request_cancel(job.guid, NOW)
        with pytest.raises(errors.RdmsError):
            store.end_job(job.guid, CollectionState.JOB_COMPLETED, "", LATER, cancel_seen=True)

    def test_a_cancel_and_an_end_that_race_agree(
        self, open_store: OpenStore, farm: Collection
    ) -> None:
        stores = [open_store(), open_store()]
        for _ in range(25):
            job = make_job()
            stores[0].accept_job(job)
            cancelled, completed = _race(stores, job.guid)
            assert cancelled != completed
            found = stores[0].find_job(job.guid)
            assert found is not None
            assert (found.cancel_requested is not None) == cancelled
            stores[0].end_job(job.guid, CollectionState.JOB_ABORTED, "", LATER, cancel_seen=True)

    def test_no_order_of_events_completes_a_cancelled_job(self, store: Store) -> None:
        numbers = itertools.count()

        @settings(max_examples=40, deadline=None)
        @given(st.lists(st.sampled_from(["cancel", "complete", "abort", "abort seen"]), max_size=6))
        def run(events: list[str]) -> None:
            alias = f"farm{next(numbers)}"
            store.create_collection(make_collection(alias))
            job = make_job(alias)
            store.accept_job(job)
            accepted = sum(_apply(store, job.guid, event) for event in events) > 0
            found, collection = store.find_job(job.guid), store.find_collection(alias)
            assert found is not None
            assert collection is not None
            assert found.state is collection.state
            assert (found.cancel_requested is not None) == accepted
            assert not (accepted and found.state is CollectionState.JOB_COMPLETED)

        run()

    # desktops of jobs

    def test_a_plan_is_recorded_once(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job, make_settings())
        plan = make_plan(job, "vd-1", "vd-2")
        assert store.add_job_desktops(plan, 3) == plan
        assert store.add_job_desktops(make_plan(job, "vd-8"), 9) == plan
        assert store.list_job_desktops(job.guid) == plan
        stored = store.find_provisioning("farm")
        assert stored is not None
        assert stored.name_start_index == 3

    def test_the_start_index_never_goes_back(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job, replace(make_settings(), name_start_index=10))
        store.add_job_desktops(make_plan(job, "vd-1"), 2)
        stored = store.find_provisioning("farm")
        assert stored is not None
        assert stored.name_start_index == 10

    def test_a_plan_with_names_of_others_is_refused(self, store: Store, farm: Collection) -> None:
        store.create_collection(make_collection("other"))
        store.put_desktops([make_desktop("VD-1", uuid=uuid4())])
        job, other = make_job(), make_job("other")
        store.accept_job(job)
        store.accept_job(other)
        with pytest.raises(errors.AlreadyExists, match="vd-1"):
            store.add_job_desktops(make_plan(job, "vd-1", "vd-2"), None)
        store.add_job_desktops(make_plan(job, "vd-2"), None)
        with pytest.raises(errors.AlreadyExists, match="vd-2"):
            store.add_job_desktops(make_plan(other, "VD-2"), None)
        store.end_job(job.guid, CollectionState.JOB_COMPLETED, "", LATER)
        store.add_job_desktops(make_plan(other, "VD-2"), None)

    def test_a_vm_that_is_copied_is_in_no_other_plan(self, store: Store, farm: Collection) -> None:
        copying, deleting = make_copying("VD-1"), make_job(action=JobAction.DELETE)
        store.accept_job(copying)
        store.accept_job(deleting)
        with pytest.raises(errors.AlreadyExists, match="vd-1"):
            store.add_job_desktops(make_plan(deleting, "vd-1"), None)
        elsewhere = [replace(row, host="host2") for row in make_plan(deleting, "vd-1")]
        assert store.add_job_desktops(elsewhere, None) == elsewhere

    def test_a_vm_in_work_is_not_copied(self, store: Store, farm: Collection) -> None:
        copying, deleting = make_copying("VD-1"), make_job(action=JobAction.DELETE)
        store.accept_job(copying)
        store.accept_job(deleting)
        store.put_desktops([make_desktop("vd-1")])
        store.end_job(copying.guid, CollectionState.JOB_ABORTED, "", LATER)
        store.add_job_desktops(make_plan(deleting, "vd-1"), None)
        again = make_copying("VD-1")
        store.accept_job(again)
        with pytest.raises(errors.AlreadyExists, match="vd-1"):
            store.add_job_desktops(make_plan(again, "prep-1"), None)

    def test_a_plan_may_name_desktops_on_record(self, store: Store, farm: Collection) -> None:
        store.put_desktops([make_desktop("vd-1")])
        job = make_job(action=JobAction.PATCH)
        store.accept_job(job)
        assert store.add_job_desktops(make_plan(job, "vd-1"), None) == make_plan(job, "vd-1")

    def test_what_plans_of_running_jobs_hold(self, store: Store, farm: Collection) -> None:
        store.put_desktops([make_desktop("old-1"), make_desktop("Old-2", host="HOST2")])
        assert store.count_desktops() == {"host1": 1, "host2": 1}
        job = make_job()
        store.accept_job(job)
        first, second = make_plan(job, "A", "b")
        store.add_job_desktops([first, replace(second, was_running=True)], 1)
        assert [(one.name_key, one.was_running) for one in store.list_reserved(job.guid)] == [
            ("a", False),
            ("b", True),
        ]
        in_use = {(first.name.casefold(), first.mac), (second.name.casefold(), second.mac)}
        assert in_use <= set(store.list_names_in_use(""))
        assert {name for name, _ in store.list_names_in_use(job.guid)} == {"old-1", "old-2"}
        store.put_job_desktops([replace(first, status=VmStatus.FAILED)], LATER)
        assert [one.name_key for one in store.list_reserved(job.guid)] == ["b"]
        store.end_job(job.guid, CollectionState.JOB_COMPLETED, "", LATER)
        assert not in_use & set(store.list_names_in_use(""))

    def test_a_batch_is_written_with_its_records(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        store.put_desktops([make_desktop("old")])
        first, second = store.add_job_desktops(make_plan(job, "vd-1", "vd-2"), None)
        done = replace(
            first,
            status=VmStatus.FAILED,
            intended=Phase.IDENTITY,
            done=Phase.AGENT,
            error="no answer",
            undone=("identity", "agent"),
            notes="not joined",
            reason="HostRefused",
            was_running=True,
        )
        record = make_desktop("vd-1")
        store.put_job_desktops([done], LATER, records=[record], dropped=["OLD"])
        assert store.list_job_desktops(job.guid) == [done, second]
        assert store.list_desktops() == [record]
        found = store.find_job(job.guid)
        assert found is not None
        assert found.modified == LATER

    def test_of_a_batch_each_row_has_its_own_words(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        words = ['"quoted" \\ and {[', "two\nlines\t\x01", "Grüße, 世界 𝕏", "' OR 1=1 --", ""]
        plan = store.add_job_desktops(make_plan(job, *(f"vd-{n}" for n in range(6))), None)
        changed = [
            replace(one, error=text, notes=text, undone=(text, "agent"), intended=Phase.DISK)
            for one, text in zip(plan, words, strict=False)
        ]
        store.put_job_desktops(changed, LATER)
        assert store.list_job_desktops(job.guid) == [*changed, plan[-1]]

    def test_a_record_written_by_a_job_keeps_what_callers_changed_meanwhile(
        self, store: Store, farm: Collection
    ) -> None:
        job = make_job(action=JobAction.PATCH)
        store.accept_job(job)
        plan = store.add_job_desktops(make_plan(job, "vd-1"), None)
        taken_out = make_desktop("vd-1", collection="", user="ann", user_domain="lab")
        store.put_desktops([taken_out])
        made = make_desktop("vd-1", image="tiny@2", generation=2, identity_set=False)
        store.put_job_desktops(plan, LATER, records=[made])
        kept = {"collection": "", "user": "ann", "user_domain": "lab"}
        assert store.list_desktops() == [replace(made, **kept)]  # type: ignore[arg-type]

    def test_a_record_of_another_vm_is_replaced(self, store: Store, farm: Collection) -> None:
        job = make_job()
        store.accept_job(job)
        plan = store.add_job_desktops(make_plan(job, "vd-1"), None)
        store.put_desktops([make_desktop("vd-1", uuid=uuid4(), host="host2")])
        store.put_job_desktops(plan, LATER, records=[make_desktop("vd-1")])
        assert store.list_desktops() == [make_desktop("vd-1")]

    def test_a_batch_of_which_a_part_is_refused_writes_nothing(
        self, store: Store, farm: Collection
    ) -> None:
        job = make_job()
        store.accept_job(job)
        plan = store.add_job_desktops(make_plan(job, "vd-1"), None)
        illegal = make_desktop("vd-1", user="ann", user_domain=None)
        with pytest.raises(errors.RdmsError):
            store.put_job_desktops([replace(plan[0], done=Phase.DISK)], LATER, records=[illegal])
        assert store.list_job_desktops(job.guid) == plan

    # images

    def test_versions_are_numbered_by_name(self, open_store: OpenStore) -> None:
        store = open_store()
        assert [store.add_image(make_image(name)).version for name in ("tiny", "Tiny", "big")] == [
            1,
            2,
            1,
        ]
        store.close()
        reopened = open_store()
        assert reopened.find_image("TINY", 1) == replace(make_image(), version=1)
        newest = reopened.find_image("tiny")
        assert newest is not None
        assert newest.reference == "Tiny@2"
        assert reopened.find_image("tiny", 3) is None
        assert [image.reference for image in reopened.list_images()] == [
            "big@1",
            "tiny@1",
            "Tiny@2",
        ]

    def test_a_job_records_its_image_once(self, store: Store) -> None:
        guid = make_job().guid
        first = store.add_image(make_image(), job=guid)
        assert store.add_image(make_image("other"), job=guid) == first
        assert store.add_image(make_image()).version == 2
        assert store.add_image(make_image()).version == 3

    def test_an_image_is_settled_when_its_job_has_ended(self, store: Store) -> None:
        job = make_copying("vd-1")
        store.accept_job(job)
        first = store.add_image(make_image())
        second = store.add_image(make_image(), job=job.guid)
        assert store.list_images() == [first, second]
        assert store.list_images(settled=True) == [first]
        assert store.find_image("TINY", settled=True) == first
        assert store.find_image("tiny", 2, settled=True) is None
        store.end_job(job.guid, CollectionState.JOB_COMPLETED, "", LATER)
        assert store.find_image("tiny", settled=True) == second

    def test_a_removed_image_is_there_no_more_and_its_number_is_spent(self, store: Store) -> None:
        first, second = (store.add_image(make_image()) for _ in range(2))
        assert not store.remove_image(second)
        assert not store.remove_image(second)
        assert store.list_images() == store.list_images(settled=True) == [first]
        assert store.find_image("tiny") == store.find_image("tiny", settled=True) == first
        assert store.find_image("tiny", 2) is None
        assert store.list_removed_images() == [second]
        assert store.next_image_version("TINY") == 3
        assert store.add_image(make_image()).version == 3
        late = make_copying("vd-1")
        late.options.update(parent=second.reference)
        with pytest.raises(errors.NotFound, match="image tiny@2"):
            store.accept_job(late)
        assert store.find_job(late.guid) is None

    def test_an_image_is_not_removed_while_it_is_needed(self, store: Store) -> None:
        image = store.add_image(make_image())
        assert image.reference == make_settings().image
        store.put_desktops([make_desktop(name, image=image.reference) for name in ("b", "a")])
        assert store.remove_image(image) == ImageUsers(desktops=("a", "b"))
        job = make_copying("vd-1")
        job.options.update(parent=image.reference)
        store.accept_job(job)
        made = store.add_image(make_image(), job=job.guid)
        assert store.remove_image(image) == ImageUsers(jobs=(job.guid,), desktops=("a", "b"))
        assert store.remove_image(made) == ImageUsers(jobs=(job.guid,))
        store.end_job(job.guid, CollectionState.JOB_COMPLETED, "", LATER)
        assert not store.remove_image(made)
        assert store.find_image("tiny", 1) == image

    # sessions

    def test_session_ids_are_given_once_for_ever(self, open_store: OpenStore) -> None:
        vm, other = uuid4(), uuid4()
        keys = [
            SessionKey("a", vm, "boot1/1"),
            SessionKey("a", vm, "boot1/2"),
            SessionKey("b", other, "boot1/1"),
        ]
        store = open_store()
        ids = store.session_ids("Host1", keys)
        assert len(set(ids.values())) == 3
        assert store.session_ids("host1", keys[:1]) == {keys[0]: ids[keys[0]]}
        store.close()
        reopened = open_store()
        newer = SessionKey("a", vm, "boot2/1")
        again = reopened.session_ids("HOST1", [newer, *keys, newer])
        assert {key: again[key] for key in keys} == ids
        assert again[newer] not in ids.values()
        assert reopened.find_session("host1", again[newer]) == newer
        assert reopened.find_session("host2", again[newer]) is None
        assert reopened.session_ids("host1", []) == {}

    def test_threads_that_see_new_sessions_agree(self, open_store: OpenStore) -> None:
        keys = [SessionKey("vm", UUID(int=number), "1") for number in range(20)]
        stores = [open_store(), open_store()]
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda n: stores[n % 2].session_ids("h", keys), range(8)))
        assert all(one == two for one, two in itertools.pairwise(answers))
        assert sorted(answers[0].values()) == sorted(set(answers[0].values()))


def _race(stores: list[Store], guid: str) -> tuple[bool, bool]:
    """A cancel against a completion: whether each was accepted."""
    ready = threading.Barrier(2)

    def cancel() -> bool:
        ready.wait()
        return _apply(stores[0], guid, "cancel")

    def complete() -> bool:
        ready.wait()
        return stores[1].end_job(guid, CollectionState.JOB_COMPLETED, "", LATER)

    with ThreadPoolExecutor(2) as threads:
        outcomes = threads.submit(cancel), threads.submit(complete)
        return outcomes[0].result(), outcomes[1].result()


def _apply(store: Store, guid: str, event: str) -> bool:
    """Do it as far as it is allowed; True when a cancel was accepted."""
    if event == "cancel":
        try:
            store.request_cancel(guid, NOW)
        except errors.InvalidOperation:
            return False
        return True
    state = CollectionState.JOB_COMPLETED if event == "complete" else CollectionState.JOB_ABORTED
    store.end_job(guid, state, "", LATER, cancel_seen=event.endswith("seen"))
    return False
