"""What every store promises about joined nodes and scheduled patches.

A part of StoreSuite's fixtures: ``open_store``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from contract.store_suite import (
    LATER,
    NOW,
    OpenStore,
    make_collection,
    make_desktop,
    make_job,
    make_plan,
)
from openrdms.model import errors
from openrdms.model.collection import IDLE_STATES, CollectionState
from openrdms.model.job import Job, JobAction
from openrdms.model.node import Node
from openrdms.model.patch import Patch, PatchState
from openrdms.ports import Store

HOST = Node("host1", is_vm_host=True)


def leave(present: Node) -> Node:
    return replace(present, joined=False)


def make_patch(collection: str = "farm", **changes: object) -> Patch:
    guid = make_job().guid
    patch = Patch(collection, guid, NOW, LATER, "<job />", requested=2, modified=NOW)
    return replace(patch, **changes)  # type: ignore[arg-type]


def make_patch_job(patch: Patch) -> Job:
    return replace(make_job(patch.collection, JobAction.PATCH), guid=patch.guid)


def state_of(store: Store, alias: str = "farm") -> CollectionState:
    collection = store.find_collection(alias)
    assert collection is not None
    return collection.state


class NodeSuite:
    @pytest.fixture
    def store(self, open_store: OpenStore) -> Store:
        return open_store()

    def test_node_is_kept_whole(self, open_store: OpenStore) -> None:
        node = Node(
            "Web.Example.org",
            sid="S-1-5-21-1",
            os_version="Debian",
            is_web_access=True,
            is_session_host=True,
            publishing_certificate=True,
        )
        open_store().join_node(node)
        assert open_store().list_nodes() == [node]

    def test_name_and_sid_belong_to_one_node(self, store: Store) -> None:
        store.join_node(Node("a.example", sid="S-1-5-21-1"))
        for taken in (Node("A.EXAMPLE"), Node("b.example", sid="S-1-5-21-1")):
            with pytest.raises(errors.AlreadyExists):
                store.join_node(taken)
        store.join_node(Node("b.example"))
        store.join_node(Node("c.example"))
        assert [node.fqdn for node in store.list_nodes()] == ["a.example", "b.example", "c.example"]

    def test_change_begins_with_the_default_and_may_remove(self, store: Store) -> None:
        store.change_node(HOST, lambda node: replace(node, is_gateway=True))
        store.change_node(replace(HOST, fqdn="HOST1"), lambda node: replace(node, os_version="x"))
        assert store.list_nodes() == [replace(HOST, is_gateway=True, os_version="x")]
        store.change_node(HOST, lambda _: None)
        assert store.list_nodes() == []

    def test_node_that_left_may_join_again(self, store: Store) -> None:
        store.change_node(HOST, leave)
        store.join_node(HOST)
        assert store.list_nodes() == [HOST]

    @pytest.mark.parametrize(
        "change",
        [leave, lambda node: replace(node, is_vm_host=False), lambda _: None],
        ids=["leave", "no host", "removed"],
    )
    def test_host_with_desktops_stays(
        self, store: Store, change: Callable[[Node], Node | None]
    ) -> None:
        store.put_desktops([make_desktop("vd-1"), replace(make_desktop("vd-2"), host="HOST1")])
        with pytest.raises(errors.InvalidOperation, match="2 desktops"):
            store.change_node(HOST, change)
        assert store.list_nodes() == []
        for name in ("vd-1", "vd-2"):
            store.change_desktop(name, lambda _: None)
        store.change_node(HOST, change)

    def test_host_in_the_plan_of_a_running_job_stays(self, store: Store) -> None:
        store.create_collection(make_collection())
        job = make_job()
        store.accept_job(job)
        store.add_job_desktops(make_plan(job, "vd-1"), None)
        with pytest.raises(errors.InvalidOperation, match="1 desktop"):
            store.change_node(HOST, leave)
        store.end_job(job.guid, CollectionState.JOB_ABORTED, "", LATER)
        store.change_node(HOST, leave)

    def test_host_that_left_takes_no_desktop(self, store: Store) -> None:
        store.change_node(HOST, leave)
        with pytest.raises(errors.InvalidOperation, match="host1"):
            store.put_desktops([make_desktop("vd-1")])
        assert store.list_desktops() == []

    def test_host_that_left_gets_no_plan(self, store: Store) -> None:
        store.create_collection(make_collection())
        job = make_job()
        store.accept_job(job)
        store.change_node(HOST, leave)
        with pytest.raises(errors.InvalidOperation, match="host1"):
            store.add_job_desktops(make_plan(job, "vd-1"), None)
        assert store.list_job_desktops(job.guid) == []

    # patches

    def test_patch_is_kept_whole_with_its_collections_state(self, open_store: OpenStore) -> None:
        store = open_store()
        store.create_collection(make_collection())
        patch = make_patch()
        store.schedule_patch(patch)
        again = open_store()
        assert again.find_patch("FARM") == again.find_patch_of_job(patch.guid) == patch
        assert again.list_waiting_patches() == [patch]
        assert state_of(again) is CollectionState.UPDATE_SCHEDULED

    def test_only_an_idle_collection_takes_a_patch(self, store: Store) -> None:
        with pytest.raises(errors.NotFound):
            store.schedule_patch(make_patch())
        store.create_collection(make_collection())
        store.accept_job(make_job())
        with pytest.raises(errors.InvalidOperation, match="state"):
            store.schedule_patch(make_patch())
        assert store.find_patch("farm") is None

    def test_first_of_those_that_wait_comes_first(self, store: Store) -> None:
        for hours, alias in enumerate(("a", "b", "c")):
            store.create_collection(make_collection(alias))
            start = NOW - timedelta(hours=hours)
            store.schedule_patch(make_patch(alias, start=start))
        for alias in ("c", "b", "a"):
            assert store.list_waiting_patches()[0].collection == alias
            store.cancel_patch(alias, LATER)
        assert store.list_waiting_patches() == []

    def test_option_of_a_job_is_noted_beside_the_others(self, store: Store) -> None:
        store.create_collection(make_collection())
        job = make_job()
        store.accept_job(job)
        store.put_job_option(job.guid, "notified", 5)
        noted = store.find_job(job.guid)
        assert noted == replace(job, options={**job.options, "notified": 5})
        with pytest.raises(errors.NotFound):
            store.put_job_option("{NONE}", "notified", 5)

    def test_patch_becomes_its_job_once(self, store: Store) -> None:
        store.create_collection(make_collection())
        patch = make_patch()
        store.schedule_patch(patch)
        job = make_patch_job(patch)
        with pytest.raises(errors.InvalidOperation):
            store.accept_job(make_job())
        for _ in range(2):
            assert store.start_patch(job)
        assert store.list_jobs(running=True) == [job]
        collection = store.find_collection("farm")
        assert collection is not None
        assert (collection.state, collection.job_guid) == (job.state, job.guid)
        started = store.cancel_patch("farm", LATER)
        assert started.state is PatchState.UPDATE_STARTED
        assert state_of(store) is job.state

    def test_cancelled_patch_becomes_no_job(self, store: Store) -> None:
        store.create_collection(make_collection())
        patch = make_patch()
        store.schedule_patch(patch)
        for _ in range(2):
            cancelled = store.cancel_patch("FARM", LATER)
            assert cancelled.state is PatchState.UPDATE_CANCELLED
        assert not store.start_patch(make_patch_job(patch))
        assert not store.fail_patch(patch.guid, "too late", LATER)
        assert store.list_jobs(running=True) == []
        assert state_of(store) is CollectionState.UPDATE_CANCELLED
        assert state_of(store) in IDLE_STATES

    def test_failed_patch_keeps_its_reason(self, store: Store) -> None:
        store.create_collection(make_collection())
        patch = make_patch()
        store.schedule_patch(patch)
        assert store.fail_patch(patch.guid, "no such image", LATER)
        found = store.find_patch("farm")
        assert found == replace(
            patch, state=PatchState.UPDATE_FAILED, error="no such image", modified=LATER
        )
        assert state_of(store) is CollectionState.UPDATE_FAILED

    def test_patch_is_its_collections_not_its_aliases(self, store: Store) -> None:
        store.create_collection(make_collection())
        patch = make_patch()
        store.schedule_patch(patch)
        with pytest.raises(errors.InvalidOperation, match="cancel it first"):
            store.delete_collection("farm")
        store.cancel_patch("farm", LATER)
        store.delete_collection("farm")
        store.create_collection(make_collection())
        assert store.find_patch("farm") is None
        with pytest.raises(errors.InvalidOperation, match="nothing"):
            store.cancel_patch("farm", LATER)

    def test_start_and_cancel_at_once_agree(self, store: Store) -> None:
        for number in range(10):
            alias = f"farm{number}"
            store.create_collection(make_collection(alias))
            patch = make_patch(alias)
            store.schedule_patch(patch)
            together = threading.Barrier(2)

            def start(patch: Patch = patch, together: threading.Barrier = together) -> bool:
                together.wait()
                return store.start_patch(make_patch_job(patch))

            def cancel(alias: str = alias, together: threading.Barrier = together) -> Patch:
                together.wait()
                return store.cancel_patch(alias, LATER)

            with ThreadPoolExecutor(2) as threads:
                starting, cancelling = threads.submit(start), threads.submit(cancel)
            started = starting.result()
            assert (cancelling.result().state is PatchState.UPDATE_CANCELLED) is not started
            assert (store.find_job(patch.guid) is not None) is started
