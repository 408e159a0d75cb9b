"""What a store promises of uses of desktops, settings of hosts and step times."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import pytest

from openrdms.model import errors
from openrdms.model.collection import Collection, CollectionType
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import DiskKind, HostSettings
from openrdms.model.job import StepTime
from openrdms.ports import Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def desktop(name: str, collection: str = "pool") -> Desktop:
    return Desktop(
        name=name,
        host="host1",
        uuid=uuid4(),
        mac="52:54:00:00:00:01",
        collection=collection,
        home="pool",
        image="tiny@1",
        disk_kind=DiskKind.LINKED,
        generation=1,
        status=DesktopStatus.SUCCESS,
    )


def make_ready(use: DesktopUse) -> DesktopUse:
    return replace(use, use=Use.READY, fresh=NOW)


class PoolSuite:
    """Adapters give ``open_store``."""

    @pytest.fixture
    def store(self, open_store: Callable[[], Store]) -> Store:
        return open_store()

    def test_uses_come_and_go_with_their_desktops(self, store: Store) -> None:
        one = desktop("Pool-1")
        store.put_desktops([one])
        use = store.find_use("POOL-1")
        assert use
        assert (use.name, use.collection, use.uuid, use.use) == (
            "Pool-1", "pool", one.uuid, Use.UNREADY,
        )  # fmt: skip
        store.change_desktop("pool-1", lambda _: None)
        assert store.find_use("pool-1") is None

    def test_a_desktop_written_again_keeps_its_use(self, store: Store) -> None:
        one = desktop("pool-1")
        store.put_desktops([one])
        store.change_uses(["pool-1"], make_ready)
        store.put_desktops([replace(one, generation=2)])
        assert [use.use for use in store.list_uses("POOL")] == [Use.READY]

    def test_another_collection_begins_anew(self, store: Store) -> None:
        one = desktop("pool-1")
        store.put_desktops([one])
        store.change_uses(["pool-1"], make_ready)
        store.put_desktops([replace(one, collection="other")])
        assert [use.use for use in store.list_uses("other")] == [Use.UNREADY]
        assert store.list_uses("pool") == []

    def test_only_ready_ones_that_nobody_claims_are_taken(self, store: Store) -> None:
        store.put_desktops([desktop("pool-1"), desktop("pool-2"), desktop("pool-3")])
        store.change_uses(["pool-1", "pool-2"], make_ready)
        store.change_uses(["pool-1"], lambda use: replace(use, claim="{job}"))
        taken = store.take_ready("pool", "CORP\\Alice", NOW)
        assert taken
        assert (taken.name, taken.use, taken.holder) == ("pool-2", Use.TAKEN, "CORP\\Alice")
        assert (taken.asked, taken.turn) == (True, 1)
        assert store.take_ready("pool", "corp\\alice", NOW) == taken
        assert store.take_ready("pool", "corp\\bob", NOW) is None
        assert store.find_held("Pool", "corp\\ALICE") == taken
        assert store.count_uses("pool") == {Use.READY: 1, Use.TAKEN: 1, Use.UNREADY: 1}

    def test_each_holder_has_a_stay_of_his_own(self, store: Store) -> None:
        one = desktop("pool-1")
        store.put_desktops([one])

        def change(**fields: object) -> int:
            (use,) = store.change_uses(["pool-1"], lambda use: replace(use, **fields))  # type: ignore[arg-type]  # its fields
            assert store.find_use("pool-1") == use
            return use.stay

        free = {"use": Use.READY, "holder": "", "asked": False}
        begun = change(**free)
        ann = store.take_ready("pool", "Ann", NOW)
        assert ann and ann.stay > begun
        assert change(turn=7, seen=True, holder="ANN", stay=0) == ann.stay  # she came back
        left = change(**free)
        bob = store.take_ready("pool", "bob", NOW)
        assert bob and bob.stay > left > ann.stay
        straight = change(use=Use.TAKEN, holder="ann")
        assert straight > bob.stay
        store.put_desktops([replace(one, collection="other")])
        moved = store.find_use("pool-1")
        assert moved and not moved.holder and moved.stay > straight

    def test_a_collection_that_begins_to_reset_has_nothing_ready(self, store: Store) -> None:
        """What its users left is on those that were handed on as they were."""
        store.create_collection(
            Collection("Pool", "p", CollectionType.POOLED, True, rollback_enabled=False)
        )
        names = ["pool-1", "pool-2", "pool-3", "other-1"]
        store.put_desktops(desktop(name, name.partition("-")[0]) for name in names)
        store.change_uses(["pool-1", "other-1"], lambda use: replace(make_ready(use), saved=True))
        store.change_uses(["pool-2"], lambda use: replace(use, use=Use.TAKEN, holder="ann"))
        seen = {use.name: use for use in store.list_uses()}
        assert not any(use.resets for use in seen.values())
        assert store.change_collection("pool", partial(replace, description="new")) == []
        changed = store.change_collection("POOL", partial(replace, rollback_enabled=True))
        assert sorted(changed) == ["pool-1", "pool-2", "pool-3"]
        uses = {use.name: use for use in store.list_uses()}
        assert [uses[name].use for name in names] == [
            Use.UNREADY, Use.TAKEN, Use.UNREADY, Use.READY,
        ]  # fmt: skip
        assert [uses[name].resets for name in names] == [True, True, True, False]
        assert not uses["pool-1"].saved and uses["pool-1"].since > seen["pool-1"].since
        assert store.take_ready("pool", "bob", NOW) is None
        store.change_uses(["pool-1"], make_ready)
        assert store.change_collection("pool", partial(replace, rollback_enabled=False))
        again = store.find_use("pool-1")
        assert again and (again.use, again.resets) == (Use.READY, False)

    def test_running_ones_go_before_saved_ones(self, store: Store) -> None:
        store.put_desktops([desktop("pool-1"), desktop("pool-2")])
        store.change_uses(["pool-1", "pool-2"], make_ready)
        store.change_uses(["pool-1"], lambda use: replace(use, saved=True))
        names = [store.take_ready("pool", f"corp\\{user}", NOW) for user in ("alice", "bob")]
        assert [use and use.name for use in names] == ["pool-2", "pool-1"]

    def test_of_many_callers_each_gets_another(self, store: Store) -> None:
        count = 20
        store.put_desktops(desktop(f"pool-{number}") for number in range(count))
        store.change_uses([f"pool-{number}" for number in range(count)], make_ready)
        ready = threading.Barrier(10)

        def take(caller: int) -> list[str]:
            ready.wait()
            users = [f"corp\\user{caller}-{number}" for number in range(5)]
            found = [store.take_ready("pool", user, NOW) for user in users]
            return [use.name for use in found if use]

        with ThreadPoolExecutor(10) as threads:
            names = [name for names in threads.map(take, range(10)) for name in names]
        assert sorted(names) == sorted(f"pool-{number}" for number in range(count))

    def test_hosts_that_are_away_give_none(self, store: Store) -> None:
        elsewhere = replace(desktop("pool-2"), host="host2")
        store.put_desktops([desktop("pool-1"), elsewhere])
        store.change_uses(["pool-1", "pool-2"], make_ready)
        taken = store.take_ready("pool", "corp\\alice", NOW, ["host1"])
        assert taken and taken.name == "pool-2"
        assert store.take_ready("pool", "corp\\bob", NOW, ["host1"]) is None
        assert store.take_ready("pool", "corp\\alice", NOW, ["host2"]) == taken

    def test_only_free_desktops_are_assigned(self, store: Store) -> None:
        names = [f"own-{number}" for number in range(1, 7)]
        store.put_desktops(desktop(name) for name in names)
        store.put_desktops(
            [
                replace(desktop("own-0"), user="bob", user_domain="corp"),
                replace(desktop("failed"), status=DesktopStatus.FAILED),
                replace(desktop("away"), host="host2"),
            ]
        )
        use, holder = Use.TAKEN, "corp\\eve"
        store.change_uses(["own-1"], lambda one: replace(one, use=use, holder=holder))
        store.change_uses(["own-2"], lambda one: replace(one, use=Use.WORK, claim="{job}"))
        store.change_uses(["own-3"], lambda one: replace(one, claim="{job}"))
        store.change_uses(["own-4"], lambda one: replace(one, use=Use.QUARANTINED))
        store.change_uses(["own-6"], make_ready)

        def assign(user: str) -> str | None:
            found = store.assign_free("POOL", user, "corp", ["host2"])
            return found and found.name

        users = ("alice", "ALICE", "bob", "carol", "dave")
        found = [assign(user) for user in users]
        assert found == ["own-6", "own-6", "own-0", "own-5", None]
        assigned = store.find_assigned("pool", "alice", "corp")
        assert assigned and (assigned.name, assigned.user) == ("own-6", "alice")

    def test_of_many_users_one_gets_the_last_free_desktop(self, store: Store) -> None:
        store.put_desktops([desktop("own-1"), desktop("own-2"), desktop("own-3")])
        ready = threading.Barrier(8)

        def assign(user: str) -> str | None:
            ready.wait()
            found = store.assign_free("pool", user, "corp")
            return found and found.name

        with ThreadPoolExecutor(8) as threads:
            names = [*threads.map(assign, [f"user{number // 2}" for number in range(8)])]
        winners = [name for name in names[::2] if name]
        assert names[::2] == names[1::2]  # whoever asks twice gets the same
        assert sorted(winners) == ["own-1", "own-2", "own-3"]

    def test_who_just_logged_on_may_have_several(self, store: Store) -> None:
        store.put_desktops([desktop("pool-1"), desktop("pool-2")])
        unasked = {"use": Use.TAKEN, "holder": "corp\\alice"}
        store.change_uses(["pool-1", "pool-2"], lambda use: replace(use, **unasked))
        assert len(store.list_uses("pool", use=Use.TAKEN)) == 2
        asked = {**unasked, "asked": True}
        with pytest.raises(errors.InvalidOperation):
            store.change_uses(["pool-1", "pool-2"], lambda use: replace(use, **asked))

    def test_what_change_raises_leaves_all_as_it_was(self, store: Store) -> None:
        store.put_desktops([desktop("pool-1"), desktop("pool-2")])
        before = store.list_uses()

        def refuse(use: DesktopUse) -> DesktopUse:
            if use.name == "pool-2":
                raise errors.InvalidOperation("no")
            return make_ready(use)

        with pytest.raises(errors.InvalidOperation):
            store.change_uses(["pool-1", "pool-2", "pool-3"], refuse)
        assert store.list_uses() == before

    def test_settings_of_hosts(self, store: Store) -> None:
        assert store.find_host_settings("host1") == HostSettings()
        changed = store.change_host_settings("Host1", partial(replace, concurrency=4))
        assert changed == HostSettings(concurrency=4)
        store.change_host_settings("host1", partial(replace, idle_count=2))
        assert store.find_host_settings("HOST1") == HostSettings(4, 2)
        with pytest.raises(errors.InvalidOperation):
            store.change_host_settings("host1", partial(replace, concurrency=101))
        assert store.find_host_settings("HOST1") == HostSettings(4, 2)

    def test_step_times(self, store: Store) -> None:
        store.put_step_times([StepTime("host1", "disk", 0.5, 3)])
        store.put_step_times([StepTime("host1", "disk", 0.4, 4), StepTime("host1", "start", 1, 1)])
        assert {(one.kind, one.seconds, one.count) for one in store.list_step_times()} == {
            ("disk", 0.4, 4),
            ("start", 1.0, 1),
        }
