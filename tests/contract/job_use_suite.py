"""What a store promises of plans in parts, and of uses that come in the transactions of jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from contract.pool_suite import desktop
from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionState, CollectionType
from openrdms.model.desktop_use import Use
from openrdms.model.host import DiskKind
from openrdms.model.job import RUNNING_STATE, Job, JobAction, JobDesktop, VmStatus
from openrdms.ports import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
GUID = "{7566AA20-483E-4B83-82AE-72728A0719A6}"


def planned(count: int, guid: str = GUID, prefix: str = "pool-") -> list[JobDesktop]:
    return [
        JobDesktop(
            job=guid,
            ordinal=ordinal,
            name=f"{prefix}{ordinal + 1}",
            host="host1",
            uuid=uuid4(),
            mac="52:54:00:00:00:01",
            image="tiny@1",
            disk_kind=DiskKind.LINKED,
            generation=1,
        )
        for ordinal in range(count)
    ]


def accept(store: Store, guid: str = GUID, alias: str = "pool") -> None:
    store.create_collection(Collection(alias, alias, CollectionType.POOLED, is_managed=True))
    action = JobAction.CREATE
    store.accept_job(Job(guid, alias, action, RUNNING_STATE[action], "", {}, NOW, NOW))


class JobUseSuite:
    """Adapters give ``open_store``."""

    @pytest.fixture
    def store(self, open_store: Callable[[], Store]) -> Store:
        store = open_store()
        accept(store)
        return store

    @pytest.fixture
    def rows(self, store: Store) -> list[JobDesktop]:
        """Three desktops, as a job has made them: two were started."""
        rows = store.add_job_desktops(planned(3), None)
        records = [replace(desktop(row.name), uuid=row.uuid) for row in rows]
        done = [replace(row, status=VmStatus.COMPLETE) for row in rows]
        marks = {"pool-1": "boot 1", "pool-2": "boot 2"}
        store.put_job_desktops(done, NOW, records=records, marks=marks)
        return done

    def uses(self, store: Store) -> dict[str, tuple[Use, str, str]]:
        return {use.name: (use.use, use.claim, use.mark) for use in store.list_uses("pool")}

    def test_what_a_job_has_made_is_its_own_until_it_ends(
        self, store: Store, rows: list[JobDesktop]
    ) -> None:
        assert self.uses(store) == {
            "pool-1": (Use.WORK, GUID, "boot 1"),
            "pool-2": (Use.WORK, GUID, "boot 2"),
            "pool-3": (Use.WORK, GUID, ""),
        }
        assert store.take_ready("pool", "LAB\\ann", NOW) is None
        assert store.end_job(GUID, CollectionState.JOB_COMPLETED, "", LATER)
        assert self.uses(store) == {
            "pool-1": (Use.READY, "", "boot 1"),
            "pool-2": (Use.READY, "", "boot 2"),
            "pool-3": (Use.UNREADY, "", ""),
        }
        assert {use.since for use in store.list_uses("pool")} == {LATER}

    def test_text_that_rows_have_alike_is_in_memory_once(
        self, store: Store, rows: list[JobDesktop]
    ) -> None:
        planned, desktops = store.list_job_desktops(GUID), store.list_desktops("pool")
        uses = store.list_uses("pool")
        assert len({id(row.host) for row in (*planned, *desktops, *uses)}) == 1
        assert len({id(row.image) for row in (*planned, *desktops)}) == 1
        assert len({id(text) for text in (*(row.job for row in planned), uses[0].claim)}) == 1

    def test_a_wave_is_let_go_of_by_itself(self, store: Store, rows: list[JobDesktop]) -> None:
        released = store.release_uses(GUID, LATER, ["POOL-2"])
        assert [(use.name, use.use) for use in released] == [("pool-2", Use.READY)]
        assert self.uses(store)["pool-1"] == (Use.WORK, GUID, "boot 1")
        assert store.release_uses(GUID, LATER, ["pool-2"]) == []

    def test_what_has_lost_its_mark_must_be_prepared(
        self, store: Store, rows: list[JobDesktop]
    ) -> None:
        store.put_job_desktops(rows[:1], NOW, marks={"Pool-1": ""})
        store.release_uses(GUID, LATER)
        assert self.uses(store)["pool-1"] == (Use.UNREADY, "", "")

    def test_marks_of_what_the_job_does_not_have_are_not_written(
        self, store: Store, rows: list[JobDesktop]
    ) -> None:
        store.release_uses(GUID, LATER, ["pool-1"])
        store.put_job_desktops(rows[:1], NOW, marks={"pool-1": "another"})
        assert self.uses(store)["pool-1"] == (Use.READY, "", "boot 1")

    def test_what_another_has_only_loses_the_claim(
        self, store: Store, rows: list[JobDesktop]
    ) -> None:
        store.change_uses(["pool-1"], lambda use: replace(use, use=Use.PREPARING))
        store.end_job(GUID, CollectionState.JOB_COMPLETED, "", LATER)
        assert self.uses(store)["pool-1"] == (Use.PREPARING, "", "boot 1")

    def test_a_job_ends_the_stay_of_whoever_was_in_it(
        self, store: Store, rows: list[JobDesktop]
    ) -> None:
        record = store.find_desktop("pool-1")
        assert record
        store.put_job_desktops(rows[:1], NOW, records=[record])
        idle = store.find_use("pool-1")
        store.change_uses(["pool-1"], lambda use: replace(use, use=Use.TAKEN, holder="ann"))
        before = store.find_use("pool-1")
        store.put_job_desktops(rows[:1], NOW, records=[record])
        after = store.find_use("pool-1")
        assert idle and before and after and after.use is Use.WORK
        assert idle.stay < before.stay < after.stay

    def test_an_end_that_is_refused_lets_go_of_nothing(
        self, store: Store, rows: list[JobDesktop]
    ) -> None:
        store.request_cancel(GUID, NOW)
        assert not store.end_job(GUID, CollectionState.JOB_COMPLETED, "", LATER)
        assert {use for use, _, _ in self.uses(store).values()} == {Use.WORK}

    def test_uses_are_found_by_names(self, store: Store, rows: list[JobDesktop]) -> None:
        found = store.list_uses(names=["POOL-3", "pool-1", "nobody"])
        assert sorted(use.name for use in found) == ["pool-1", "pool-3"]

    # plans

    def test_a_large_plan_is_written_whole(self, store: Store) -> None:
        plan = planned(1203)
        assert store.add_job_desktops(plan, None) == plan
        assert store.list_job_desktops(GUID) == plan
        assert store.add_job_desktops(planned(2), None) == plan  # it has one

    def test_of_a_plan_that_is_refused_nothing_is_left(self, store: Store) -> None:
        other = "{00000000-483E-4B83-82AE-72728A0719A6}"
        accept(store, other, "other")
        store.add_job_desktops(planned(1, other), None)
        with pytest.raises(errors.AlreadyExists, match=r"pool-1$"):
            store.add_job_desktops(planned(1203), None)
        assert store.list_job_desktops(GUID) == []

    def test_a_plan_that_was_interrupted_is_replaced(self, store: Store) -> None:
        """The row with ordinal 0 comes last: without it there is no plan."""
        begun = [replace(row, ordinal=row.ordinal + 700) for row in planned(3, prefix="old-")]
        store.add_job_desktops(begun, None)
        plan = planned(2)
        assert store.add_job_desktops(plan, None) == plan
        assert store.list_job_desktops(GUID) == plan
