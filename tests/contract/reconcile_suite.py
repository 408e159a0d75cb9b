"""What a store promises to who compares hosts with records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from openrdms.model.collection import Collection, CollectionState, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import Use
from openrdms.model.host import DiskKind
from openrdms.model.job import Job, JobAction, JobDesktop, VmStatus
from openrdms.ports import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOST, OTHER = "Host1.test", "host2.test"


def desktop(name: str, host: str = HOST) -> Desktop:
    return Desktop(
        *(name, host, uuid4(), "52:54:00:00:00:01", "pool", "pool", "tiny@1"),
        *(DiskKind.LINKED, 1, DesktopStatus.SUCCESS),
    )


class ReconcileSuite:
    """Adapters give ``open_store``."""

    @pytest.fixture
    def store(self, open_store: Callable[[], Store]) -> Store:
        store = open_store()
        store.create_collection(Collection("pool", "Pool", CollectionType.POOLED, is_managed=True))
        return store

    def begin(self, store: Store, action: JobAction, *desktops: Desktop, **fields: object) -> Job:
        """A job with these desktops in its rows."""
        state = CollectionState.CREATE_VIRTUAL_DESKTOP_INPROGRESS
        guid = f"{{{uuid4()}}}".upper()
        job = Job(guid, "pool", action, state, "", {}, NOW, NOW)
        store.accept_job(job)
        rows = [
            JobDesktop(
                *(guid, number, one.name, one.host, one.uuid, one.mac, one.image),
                *(one.disk_kind, one.generation),
                **fields,  # type: ignore[arg-type]
            )
            for number, one in enumerate(desktops)
        ]
        store.add_job_desktops(rows, None)
        return job

    def end(self, store: Store, job: Job) -> None:
        store.end_job(job.guid, CollectionState.JOB_ABORTED, "", NOW)

    def test_known_is_what_records_say_of_one_host(self, store: Store) -> None:
        here, there = desktop("Pool-1"), desktop("pool-2", OTHER)
        store.put_desktops([here, there])
        job = self.begin(store, JobAction.CREATE, desktop("New-1"), desktop("new-2", OTHER))
        known = store.read_known("host1.TEST")
        assert known.desktops == {"pool-1": here}
        assert list(known.uses) == ["pool-1"]
        assert known.busy == {"new-1"}
        assert job.guid not in known.jobs
        self.end(store, job)
        known = store.read_known(HOST)
        assert known.busy == frozenset()
        assert job.guid in known.jobs
        assert store.list_desktop_hosts() == [HOST, OTHER]

    @pytest.mark.parametrize(
        ("action", "status", "unmade", "temporary"),
        [
            (JobAction.CREATE, VmStatus.FAILED, True, False),
            (JobAction.UPDATE, VmStatus.CANCELLED, True, False),
            (JobAction.CREATE, VmStatus.COMPLETE, False, False),
            (JobAction.PATCH, VmStatus.FAILED, False, False),
            (JobAction.DELETE, VmStatus.FAILED, False, False),
            (JobAction.PREP, VmStatus.COMPLETE, False, True),
        ],
    )
    def test_what_ended_jobs_left_unmade(
        self, store: Store, action: JobAction, status: VmStatus, unmade: bool, temporary: bool
    ) -> None:
        one = replace(desktop("pool-1"), status=DesktopStatus.FAILED)
        job = self.begin(store, action, one, status=status)
        assert store.read_known(HOST).temporary == frozenset()
        self.end(store, job)
        store.put_desktops([one])
        known = store.read_known(HOST)
        assert (one.uuid in known.unmade, one.uuid in known.temporary) == (unmade, temporary)

    def test_what_was_found_is_recorded_apart_unless_its_name_is_known(self, store: Store) -> None:
        found = replace(desktop("found-1"), mac="", collection="", disk_kind=DiskKind.FULL)
        planned = replace(found, mac="52:54:00:00:00:09")
        job = self.begin(store, JobAction.CREATE, planned)
        assert not store.record_found(found, "UnknownVm: why", NOW)
        self.end(store, job)
        assert store.record_found(found, "UnknownVm: why", NOW)
        assert store.find_desktop("found-1") == planned
        use = store.find_use("found-1")
        assert use
        assert (use.use, use.reason, use.since) == (Use.QUARANTINED, "UnknownVm: why", NOW)
        assert not store.record_found(replace(found, uuid=uuid4()), "UnknownVm: other", NOW)

    def test_names_that_nothing_explains(self, store: Store) -> None:
        store.put_desktops([desktop("pool-1")])
        self.begin(store, JobAction.CREATE, desktop("new-1"))
        assert store.list_unexplained(["POOL-1", "New-1", "Strange"]) == {"strange"}

    def test_desktops_of_a_host_are_forgotten(self, store: Store) -> None:
        store.put_desktops([desktop("b"), desktop("A"), desktop("c", OTHER)])
        assert store.forget_desktops("host1.test") == ["A", "b"]
        assert store.forget_desktops("host1.test") == []
        assert [one.name for one in store.list_desktops()] == ["c"]
        assert store.find_use("a") is None
