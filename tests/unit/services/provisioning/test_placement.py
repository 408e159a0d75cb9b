from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from openrdms.model.errors import NoRoom
from openrdms.model.reason import ReasonCode, explain_refusal
from openrdms.services.provisioning.placement import (
    Place,
    Room,
    choose_names,
    make_mac,
    make_uuid,
    place,
)

GUID = "{0B0C2F0A-8A2F-4B0E-9E0C-0A4E3C1D2B3A}"


def hosts_of(places: list[Place]) -> list[str]:
    return [place.host for place in places]


def test_named_hosts_get_what_was_asked_for() -> None:
    rooms = [Room("a", 10, 0), Room("b", 10, 9)]
    placed = place([("a", 2), ("b", 1), (None, 1)], rooms)
    assert placed == [("a", "AsAsked"), ("a", "AsAsked"), ("b", "AsAsked"), ("a", "LeastLoaded")]


def test_the_rest_goes_where_the_share_of_used_room_is_smallest() -> None:
    rooms = [Room("small", 2, 0), Room("big", 8, 0)]
    assert sorted(hosts_of(place([(None, 5)], rooms))) == ["big"] * 4 + ["small"]


def test_named_desktops_count_before_others_are_placed() -> None:
    rooms = [Room("a", 4, 0), Room("b", 4, 0)]
    assert hosts_of(place([(None, 2), ("a", 2)], rooms)) == ["b", "b", "a", "a"]


def test_equal_hosts_get_equal_shares() -> None:
    rooms = [Room(f"h{n}", 1000, 0, 1 << 20, 0) for n in range(10)]
    placed = hosts_of(place([(None, 1000)], rooms, 2048))
    assert {placed.count(room.host) for room in rooms} == {100}


@pytest.mark.parametrize(
    "worse",
    [
        Room("worse", 100, 0, 8000, 4000),
        Room("worse", 100, 50, 8000, 0),
        Room("worse", 100, 0, 8000, 0, starting=50),
        Room("worse", 100, 0, 8000, 0, has_image=False),
        Room("worse", 100, 0, 80_000, 0, spared=True),
    ],
    ids=["memory", "desktops", "starts", "image", "degraded"],
)
def test_the_better_host_is_taken_first(worse: Room) -> None:
    better = Room("better", 100, 0, 8000, 0)
    assert hosts_of(place([(None, 1)], [worse, better], 100)) == ["better"]


def test_a_degraded_host_is_taken_when_no_other_has_room() -> None:
    rooms = [Room("slow", 100, 0, spared=True), Room("good", 3, 1)]
    assert hosts_of(place([(None, 4)], rooms)) == ["good", "good", "slow", "slow"]


def test_desktops_that_stay_off_need_no_memory() -> None:
    rooms = [Room("a", 10, 0, 1000, 1000)]
    assert hosts_of(place([(None, 10)], rooms, 0)) == ["a"] * 10
    with pytest.raises(NoRoom, match="a has memory for 0 more"):
        place([(None, 1)], rooms, 100)


@pytest.mark.parametrize(
    ("wanted", "words", "reason"),
    [
        ([("a", 3)], r"^NumberVms: a has room for 2 more \(3 of 5 VMs\)$", ReasonCode.NO_CAPACITY),
        ([(None, 6)], "a has room for 2 more.*; b has room for 3 more", ReasonCode.NO_CAPACITY),
        ([("full", 1)], "full has room for 0 more", ReasonCode.NO_CAPACITY),
        ([("tight", 2)], r"memory for 1 more \(150 MiB, 100 MiB each", ReasonCode.NO_MEMORY),
        ([("a", 1), ("tight", 1), (None, 5)], "tight has memory", ReasonCode.NO_MEMORY),
    ],
)
def test_a_refusal_says_which_host_lacks_what(
    wanted: list[tuple[str | None, int]], words: str, reason: ReasonCode
) -> None:
    rooms = [Room("a", 5, 3), Room("b", 3, 0), Room("full", 1, 2), Room("tight", 9, 0, 200, 50)]
    if wanted[0][0] is None:
        rooms.pop()
    with pytest.raises(NoRoom, match=words) as caught:
        place(wanted, rooms, 100)
    assert explain_refusal(caught.value) is reason


ROOM = st.builds(
    Room,
    host=st.just(""),
    capacity=st.integers(0, 9),
    used=st.integers(0, 12),
    memory_mib=st.sampled_from([0, 500, 900]),
    used_mib=st.integers(0, 1000),
    starting=st.integers(0, 200),
    has_image=st.booleans(),
    spared=st.booleans(),
)
ROOMS = st.lists(ROOM, min_size=1, max_size=5).map(
    lambda rooms: [replace(room, host=f"h{n}") for n, room in enumerate(rooms)]
)


@given(
    ROOMS,
    st.lists(st.tuples(st.sampled_from([None, "h0"]), st.integers(0, 12)), max_size=4),
    st.sampled_from([0, 100]),
)
def test_placement_uses_free_room_and_no_more(
    rooms: list[Room], wanted: list[tuple[str | None, int]], need: int
) -> None:
    free = {room.host: room.takes(need) for room in rooms}
    named = sum(count for host, count in wanted if host)
    fits = named <= free["h0"] and sum(count for _, count in wanted) <= sum(free.values())
    try:
        placed = place(wanted, rooms, need)
    except NoRoom:
        assert not fits
        return
    assert fits
    asked = [host for host, count in wanted for _ in range(count)]
    assert [host or place.host for host, place in zip(asked, placed, strict=True)] == hosts_of(
        placed
    )
    assert all(hosts_of(placed).count(host) <= room for host, room in free.items())
    assert placed == place(wanted, rooms, need)


@given(ROOMS, st.integers(0, 12))
def test_a_spared_host_gets_nothing_while_another_has_room(rooms: list[Room], count: int) -> None:
    healthy = sum(room.takes(100) for room in rooms if not room.spared)
    assume(count <= healthy)
    spared = {room.host for room in rooms if room.spared}
    assert not spared & set(hosts_of(place([(None, count)], rooms, 100)))


def test_names_skip_what_is_taken_and_the_index_advances() -> None:
    assert choose_names("Pool-", 9, 3, {"pool-10"}) == (["Pool-9", "Pool-11", "Pool-12"], 13)
    assert choose_names("p", 5, 0, set()) == ([], 5)


@given(st.text("abc-1", min_size=1, max_size=15))
def test_uuid_and_mac_follow_from_job_and_name(name: str) -> None:
    uuid = make_uuid(GUID, name)
    assert uuid == make_uuid(GUID, name.upper())
    assert uuid != make_uuid("{00000000-0000-0000-0000-000000000000}", name)
    mac = make_mac(uuid, set())
    assert mac == make_mac(uuid, set()) != make_mac(uuid, {mac})
    assert mac.startswith("52:54:00:")
    assert len(mac) == 17


def test_no_two_macs_when_hashes_collide() -> None:
    taken: set[str] = set()
    for number in range(300):
        taken.add(make_mac(UUID(int=number % 3), taken))
    assert len(taken) == 300
