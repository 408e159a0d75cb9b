"""What every ``ports.SessionHostStore`` and ``ports.SettingStore`` promises.

An adapter's test file mixes this in as it does StoreSuite, with the fixture ``open_store``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.store_suite import OpenStore, make_collection
from openrdms.model import errors
from openrdms.model.assignment import Assignment, AssignmentFilter
from openrdms.model.session_host import (
    ServerState,
    SessionCollection,
    SessionCollectionType,
    SessionHost,
    StartQueue,
)
from openrdms.model.setting import SettingValue
from openrdms.ports import Store

THREADS = 16
PERSONAL = SessionCollection("Hosts", "The hosts", SessionCollectionType.MANUAL_PERSONAL)
ANYBODY = AssignmentFilter()
Result = TypeVar("Result")


def make_hosts(store: Store, *names: str, collection: str = "") -> None:
    for name in names:
        store.create_session_host(SessionHost(f"{name}.Example", "rdcb.example", collection))


def at_once(calls: Sequence[Callable[[], Result]]) -> list[Result]:
    """Results of calls that begin together, each in a thread of its own."""
    ready = threading.Barrier(len(calls))

    def run(call: Callable[[], Result]) -> Result:
        ready.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def succeeds(call: Callable[[], object]) -> bool:
    """False when it is refused because somebody else was first."""
    try:
        call()
    except errors.AlreadyExists:
        return False
    return True


def _next(number: str) -> str:
    return str(int(number) + 1)


class SessionHostSuite:
    @pytest.fixture
    def store(self, open_store: OpenStore) -> Store:
        return open_store()

    @pytest.fixture
    def hosts(self, store: Store) -> SessionCollection:
        store.create_session_collection(PERSONAL)
        return PERSONAL

    # collections

    def test_a_session_collection_is_kept(self, open_store: OpenStore) -> None:
        kept = replace(PERSONAL, description="for tests")
        store = open_store()
        store.create_session_collection(kept)
        store.create_session_collection(SessionCollection("alpha", "First"))
        store.close()
        reopened = open_store()
        assert reopened.find_session_collection("HOSTS") == kept
        assert reopened.find_session_collection("nothing") is None
        assert [one.alias for one in reopened.list_session_collections()] == ["alpha", "Hosts"]

    @pytest.mark.parametrize(
        ("alias", "name", "field"),
        [("HOSTS", "x", "Alias"), ("x", "the HOSTS", "Name"), ("FARM", "x", "Alias")],
    )
    def test_alias_and_name_are_unique_over_both_kinds(
        self, store: Store, hosts: SessionCollection, alias: str, name: str, field: str
    ) -> None:
        store.create_collection(make_collection("farm", name="The farm"))
        with pytest.raises(errors.AlreadyExists, match=field):
            store.create_session_collection(SessionCollection(alias, name))
        with pytest.raises(errors.AlreadyExists, match=field):
            store.create_collection(make_collection(alias, name=name))
        assert store.list_session_collections() == [hosts]

    def test_a_name_may_change_to_a_free_one(self, store: Store, hosts: SessionCollection) -> None:
        store.create_collection(make_collection("farm", name="The farm"))
        for name in ("THE HOSTS", "Other", "The hosts"):
            store.change_session_collection("hosts", lambda one, name=name: replace(one, name=name))
        with pytest.raises(errors.AlreadyExists, match="Name"):
            store.change_session_collection("hosts", lambda one: replace(one, name="the FARM"))
        assert store.find_session_collection("hosts") == hosts
        store.delete_collection("farm")
        store.change_session_collection("hosts", lambda one: replace(one, name="The farm"))

    def test_one_of_many_gets_a_name(self, store: Store) -> None:
        def create(number: int) -> Callable[[], None]:
            if number % 2:
                farm = make_collection(f"a{number}", name="Wanted")
                return lambda: store.create_collection(farm)
            hosts = SessionCollection(f"a{number}", "wanted")
            return lambda: store.create_session_collection(hosts)

        calls = [create(number) for number in range(THREADS)]
        won = at_once([lambda call=call: succeeds(call) for call in calls])
        assert won.count(True) == 1
        assert len(store.list_collections()) + len(store.list_session_collections()) == 1

    def test_a_refused_change_changes_nothing(self, store: Store, hosts: SessionCollection) -> None:
        def refuse(_: SessionCollection) -> SessionCollection:
            raise errors.InvalidOperation("no")

        with pytest.raises(errors.InvalidOperation):
            store.change_session_collection("hosts", refuse)
        with pytest.raises(errors.NotFound):
            store.change_session_collection("nothing", lambda one: one)
        assert store.find_session_collection("hosts") == hosts

    def test_changes_made_at_once_are_all_kept(
        self, store: Store, hosts: SessionCollection
    ) -> None:
        def add(one: SessionCollection) -> SessionCollection:
            return replace(one, description=f"{one.description or ''}x")

        at_once([lambda: store.change_session_collection("hosts", add)] * THREADS)
        found = store.find_session_collection("hosts")
        assert found is not None
        assert found.description == "x" * THREADS

    def test_a_collection_with_servers_is_not_deleted(
        self, store: Store, hosts: SessionCollection
    ) -> None:
        make_hosts(store, "one", collection="HOSTS")
        with pytest.raises(errors.InvalidOperation, match=r"one\.Example"):
            store.delete_session_collection("hosts")
        store.change_session_host("one.example", lambda host: replace(host, collection=""))
        store.delete_session_collection("hosts")
        with pytest.raises(errors.NotFound):
            store.delete_session_collection("hosts")

    def test_what_belongs_to_a_collection_goes_with_it(
        self, store: Store, hosts: SessionCollection
    ) -> None:
        store.set_session_collection_value("hosts", "MaxMonitors", 3)
        store.compare_and_set_pair("hosts", "key", None, "value")
        store.delete_session_collection("hosts")
        store.create_session_collection(hosts)
        assert store.find_session_collection_value("hosts", "MaxMonitors") is None
        assert store.find_pair("hosts", "key") is None

    @pytest.mark.parametrize("value", [0, -5, 2**31 - 1, "", "5", "text \u00e9 \U0001f600"])
    def test_values_keep_their_kind(
        self, store: Store, hosts: SessionCollection, value: int | str
    ) -> None:
        make_hosts(store, "one")
        for before in (7, "seven", value):
            store.set_session_collection_value("HOSTS", "Key", before)
            store.set_session_host_value("ONE.example", "Key", before)
        assert store.find_session_collection_value("hosts", "kEY") == value
        assert store.find_session_host_value("one.EXAMPLE", "kEY") == value

    def test_nothing_has_values_that_does_not_exist(self, store: Store) -> None:
        for call in (
            lambda: store.set_session_collection_value("nothing", "Key", 1),
            lambda: store.set_session_host_value("nothing", "Key", 1),
            lambda: store.compare_and_set_pair("nothing", "key", None, "1"),
            lambda: store.test_and_set_state("nothing", 1, ServerState.RUNNING),
        ):
            with pytest.raises(errors.NotFound):
                call()
        assert store.find_session_collection_value("nothing", "Key") is None
        assert store.find_session_host_value("nothing", "Key") is None

    # key/value pairs

    def test_a_pair_is_set_when_it_is_the_comparand(
        self, store: Store, hosts: SessionCollection
    ) -> None:
        def exchange(comparand: str | None, value: str) -> str | None:
            return store.compare_and_set_pair("hosts", "Key", comparand, value)

        assert exchange("anything", "one") is None
        assert exchange(None, "two") == "one"
        assert exchange("ONE", "two") == "one"
        assert store.find_pair("HOSTS", "kEY") == "one"
        assert exchange("one", "two") == "one"
        assert store.find_pair("hosts", "Key") == "two"
        assert store.find_session_collection_value("hosts", "Key") is None
        store.delete_pair("hosts", "KEY")
        assert store.find_pair("hosts", "Key") is None
        with pytest.raises(errors.NotFound):
            store.delete_pair("hosts", "Key")

    def test_no_exchange_is_lost(self, open_store: OpenStore) -> None:
        """Threads over two openings of the records count up, each by comparing until it wins."""
        stores, rounds = [open_store(), open_store()], 4

        def count(store: Store) -> None:
            seen = "0"
            for _ in range(rounds):
                while (was := store.compare_and_set_pair("hosts", "n", seen, _next(seen))) != seen:
                    seen = str(was)
                seen = _next(seen)

        stores[0].create_session_collection(PERSONAL)
        stores[0].compare_and_set_pair("hosts", "n", None, "0")
        at_once([lambda store=stores[n % 2]: count(store) for n in range(THREADS)])
        assert stores[0].find_pair("hosts", "n") == str(THREADS * rounds)

    def test_one_of_many_inserts(self, store: Store, hosts: SessionCollection) -> None:
        values = [str(number) for number in range(THREADS)]
        initials = at_once(
            [
                lambda value=value: store.compare_and_set_pair("hosts", "k", None, value)
                for value in values
            ]
        )
        assert initials.count(None) == 1
        winner = values[initials.index(None)]
        assert set(initials) == {None, winner}
        assert store.find_pair("hosts", "k") == winner

    # servers

    def test_a_server_is_kept(self, open_store: OpenStore) -> None:
        store = open_store()
        store.create_session_collection(PERSONAL)
        make_hosts(store, "two", collection="hosts")
        make_hosts(store, "one")
        store.close()
        reopened = open_store()
        one = SessionHost("one.Example", "rdcb.example", "", ServerState.UNKNOWN)
        two = SessionHost("two.Example", "rdcb.example", "Hosts", ServerState.UNKNOWN)
        assert reopened.list_session_hosts() == [one, two]
        assert reopened.list_session_hosts("HOSTS") == [two]
        assert reopened.list_session_hosts("") == [one]
        assert reopened.list_session_hosts("nothing") == []
        assert reopened.find_session_host("ONE.EXAMPLE") == one
        assert reopened.find_session_host("one") is None

    def test_a_server_is_refused(self, store: Store) -> None:
        make_hosts(store, "one")
        with pytest.raises(errors.AlreadyExists, match="Name"):
            make_hosts(store, "ONE")
        with pytest.raises(errors.InvalidParameter, match="CollectionAlias"):
            make_hosts(store, "two", collection="nothing")
        with pytest.raises(errors.InvalidParameter, match="CollectionAlias"):
            store.change_session_host("one.example", lambda one: replace(one, collection="no"))
        with pytest.raises(errors.NotFound):
            store.change_session_host("two.example", lambda two: two)
        assert [host.name for host in store.list_session_hosts()] == ["one.Example"]

    def test_a_change_leaves_the_state_alone(self, store: Store) -> None:
        make_hosts(store, "one")
        store.test_and_set_state("one.example", 1, ServerState.STARTING)
        store.change_session_host(
            "one.example", lambda one: replace(one, broker="b.example", state=ServerState.DOWN)
        )
        found = store.find_session_host("one.example")
        assert found == SessionHost("one.Example", "b.example", "", ServerState.STARTING)
        assert store.take_pending_starts(5) == ["one.Example"]

    def test_what_belongs_to_a_server_goes_with_it(
        self, store: Store, hosts: SessionCollection
    ) -> None:
        make_hosts(store, "one", collection="hosts")
        store.set_session_host_value("one.example", "DrainMode", 1)
        store.add_assignment(Assignment("hosts", "one.example", "ann", "CORP"))
        store.test_and_set_state("one.example", 1, ServerState.STARTING)
        store.delete_session_host("ONE.example")
        assert store.list_assignments(ANYBODY) == []
        assert store.take_pending_starts(5) == []
        make_hosts(store, "one")
        assert store.find_session_host_value("one.example", "DrainMode") is None
        store.delete_session_host("one.example")
        with pytest.raises(errors.NotFound):
            store.delete_session_host("one.example")

    # states and starts

    def test_who_waits_longest_is_handed_out_first(self, store: Store) -> None:
        make_hosts(store, "a", "b", "c", "d")
        for name in ("c", "a", "d", "b"):
            store.test_and_set_state(f"{name}.example", 1, ServerState.STARTING)
        store.test_and_set_state("d.example", 9, ServerState.DOWN)
        assert store.take_pending_starts(0) == []
        assert store.take_pending_starts(2) == ["c.Example", "a.Example"]
        store.test_and_set_state("d.example", 4, ServerState.STARTING)
        assert store.take_pending_starts(2**32 - 1) == ["b.Example", "d.Example"]
        assert store.take_pending_starts(5) == []

    def test_states_follow_the_model(self, store: Store) -> None:
        names = ["a.Example", "b.Example", "c.Example"]

        @settings(max_examples=30, deadline=None)
        @given(
            st.lists(
                st.tuples(
                    st.integers(0, 2), st.sampled_from(ServerState), st.sampled_from(ServerState)
                )
            )
        )
        def run(steps: list[tuple[int, ServerState, ServerState]]) -> None:
            for name in names:
                if store.find_session_host(name):
                    store.delete_session_host(name)
            make_hosts(store, "a", "b", "c")
            model = dict.fromkeys(names, StartQueue(ServerState.UNKNOWN))
            for index, comparand, state in steps:
                before = model[names[index]]
                last = max(queue.place or 0 for queue in model.values())
                model[names[index]] = before.test_and_set(comparand, state, last)
                assert store.test_and_set_state(names[index], comparand, state) is before.state
            assert [host.state for host in store.list_session_hosts()] == [
                queue.state for queue in model.values()
            ]
            waiting = {queue.place: name for name, queue in model.items() if queue.place}
            assert store.take_pending_starts(3) == [waiting[place] for place in sorted(waiting)]

        run()

    def test_one_of_many_sets_the_state(self, store: Store) -> None:
        make_hosts(store, "one")
        before = at_once(
            [lambda: store.test_and_set_state("one.example", 1, ServerState.STARTING)] * THREADS
        )
        assert before.count(ServerState.UNKNOWN) == 1
        assert before.count(ServerState.STARTING) == THREADS - 1
        assert store.take_pending_starts(5) == ["one.Example"]

    def test_a_server_is_handed_out_once_over_all_callers(self, open_store: OpenStore) -> None:
        store, other = open_store(), open_store()
        names = [f"h{number:02}" for number in range(40)]
        make_hosts(store, *names)

        def start(part: int) -> list[str]:
            for name in names[part :: THREADS // 2]:
                store.test_and_set_state(f"{name}.example", 1, ServerState.STARTING)
            return []

        def drain() -> list[str]:
            return [name for _ in range(4) for name in other.take_pending_starts(2)]

        starts = [lambda part=part: start(part) for part in range(THREADS // 2)]
        taken = [name for part in at_once([*starts, *[drain] * (THREADS // 2)]) for name in part]
        taken += store.take_pending_starts(len(names))
        assert sorted(taken) == [f"{name}.Example" for name in names]

    # assignments

    def test_an_assignment_is_kept_with_names_on_record(self, open_store: OpenStore) -> None:
        store = open_store()
        store.create_session_collection(PERSONAL)
        make_hosts(store, "one", "two", collection="hosts")
        ann = store.add_assignment(Assignment("HOSTS", "ONE.example", "Ann", "CORP"))
        bob = store.add_assignment(Assignment("hosts", "two.example", "ann", "LAB"))
        store.close()
        reopened = open_store()
        assert ann == Assignment("Hosts", "one.Example", "Ann", "CORP")
        assert reopened.list_assignments(ANYBODY) == [ann, bob]
        for wanted, found in (
            (AssignmentFilter(collection="HOSTS", user="ANN", user_domain="corp"), [ann]),
            (AssignmentFilter(desktop="TWO.example"), [bob]),
            (AssignmentFilter(user="ann"), [ann, bob]),
            (AssignmentFilter(collection="other"), []),
            (AssignmentFilter(desktop=""), []),
        ):
            assert reopened.list_assignments(wanted) == found

    @pytest.mark.parametrize(
        ("assignment", "error"),
        [
            (Assignment("nothing", "one.example", "bob", "CORP"), errors.NotFound),
            (Assignment("hosts", "nobody.example", "bob", "CORP"), errors.NotFound),
            (Assignment("pooled", "one.example", "bob", "CORP"), errors.InvalidOperation),
            (Assignment("hosts", "other.example", "bob", "CORP"), errors.InvalidOperation),
            (Assignment("hosts", "free.example", "bob", "CORP"), errors.InvalidOperation),
            (Assignment("hosts", "two.example", "ANN", "corp"), errors.AlreadyExists),
            (Assignment("hosts", "ONE.example", "ann", "CORP"), errors.AlreadyExists),
            (Assignment("hosts", "one.example", "bob", "CORP"), errors.AlreadyExists),
        ],
    )
    def test_what_cannot_be_assigned(
        self,
        store: Store,
        hosts: SessionCollection,
        assignment: Assignment,
        error: type[errors.RdmsError],
    ) -> None:
        store.create_session_collection(SessionCollection("pooled", "Pooled"))
        store.create_session_collection(replace(PERSONAL, alias="else", name="Else"))
        make_hosts(store, "one", "two", collection="hosts")
        make_hosts(store, "other", collection="else")
        make_hosts(store, "free")
        first = store.add_assignment(Assignment("hosts", "one.example", "ann", "CORP"))
        with pytest.raises(error):
            store.add_assignment(assignment)
        assert store.list_assignments(ANYBODY) == [first]

    def test_of_many_one_gets_the_desktop(self, store: Store, hosts: SessionCollection) -> None:
        make_hosts(store, "one", collection="hosts")
        wanted = [Assignment("hosts", "one.example", f"u{n}", "CORP") for n in range(THREADS)]
        won = at_once(
            [lambda one=one: succeeds(lambda: store.add_assignment(one)) for one in wanted]
        )
        assert won.count(True) == 1
        assert [one.user for one in store.list_assignments(ANYBODY)] == [
            wanted[won.index(True)].user
        ]

    def test_of_many_desktops_a_user_gets_one(self, store: Store, hosts: SessionCollection) -> None:
        names = [f"h{number:02}" for number in range(THREADS)]
        make_hosts(store, *names, collection="hosts")
        wanted = [Assignment("hosts", f"{name}.example", "ann", "CORP") for name in names]
        won = at_once(
            [lambda one=one: succeeds(lambda: store.add_assignment(one)) for one in wanted]
        )
        assert won.count(True) == 1
        assert len(store.list_assignments(ANYBODY)) == 1

    def test_only_what_matches_is_taken_away(self, store: Store, hosts: SessionCollection) -> None:
        make_hosts(store, "one", "two", collection="hosts")
        store.add_assignment(Assignment("hosts", "one.example", "ann", "CORP"))
        kept = store.add_assignment(Assignment("hosts", "two.example", "ann", "LAB"))
        wanted = AssignmentFilter("HOSTS", user="ANN", user_domain="corp")
        assert store.remove_assignments(wanted) == 1
        assert store.remove_assignments(wanted) == 0
        assert store.list_assignments(ANYBODY) == [kept]

    def test_a_server_that_leaves_belongs_to_nobody(
        self, store: Store, hosts: SessionCollection
    ) -> None:
        make_hosts(store, "one", collection="hosts")
        made = store.add_assignment(Assignment("hosts", "one.example", "ann", "CORP"))
        store.change_session_host("one.example", lambda one: replace(one, collection="HOSTS"))
        assert store.list_assignments(ANYBODY) == [made]
        store.change_session_host("one.example", lambda one: replace(one, collection=""))
        assert store.list_assignments(ANYBODY) == []

    # settings

    @pytest.mark.parametrize("value", [0, 5, "", "5", (), ("a", "b")])
    def test_a_setting_keeps_its_kind(self, open_store: OpenStore, value: SettingValue) -> None:
        store = open_store()
        for before in (7, "seven", ("seven",), value):
            store.change_setting("Key", before)
        store.close()
        assert open_store().find_setting("kEY") == value

    def test_a_setting_is_removed(self, store: Store) -> None:
        store.change_setting("Key", 1)
        store.change_setting("KEY", None)
        assert store.find_setting("Key") is None
        with pytest.raises(errors.NotFound, match="Key"):
            store.change_setting("Key", None)

    def test_a_check_sees_what_settings_will_be(self, store: Store) -> None:
        seen: list[dict[str, SettingValue]] = []
        store.change_setting("One", 1)
        store.change_setting("Two", ("x",), lambda after: seen.append(dict(after)))
        store.change_setting("One", None, lambda after: seen.append(dict(after)))
        assert seen == [{"one": 1, "two": ("x",)}, {"two": ("x",)}]

    def test_a_refused_setting_stays_as_it_was(self, store: Store) -> None:
        def refuse(_: object) -> None:
            raise errors.InvalidOperation("no")

        store.change_setting("One", 1)
        for value in (2, None):
            with pytest.raises(errors.InvalidOperation):
                store.change_setting("One", value, refuse)
        assert store.find_setting("One") == 1

    def test_of_two_that_exclude_each_other_one_is_set(self, store: Store) -> None:
        def check(after: object) -> None:
            if isinstance(after, dict) and {"a", "b"} <= set(after):
                raise errors.AlreadyExists("both")

        keys = ["a", "b"] * (THREADS // 2)
        won = at_once(
            [lambda key=key: succeeds(lambda: store.change_setting(key, 1, check)) for key in keys]
        )
        assert [key for key, ok in zip(keys, won, strict=True) if ok] in (["a"] * 8, ["b"] * 8)
