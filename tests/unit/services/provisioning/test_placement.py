from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.errors import InvalidParameter
from openrdms.services.provisioning.placement import Room, choose_names, make_mac, make_uuid, place

GUID = "{0B0C2F0A-8A2F-4B0E-9E0C-0A4E3C1D2B3A}"


def test_named_hosts_get_what_was_asked_for() -> None:
    rooms = [Room("a", 10, 0), Room("b", 10, 9)]
    assert place([("a", 2), ("b", 1), ("a", 1)], rooms) == ["a", "a", "b", "a"]


def test_the_rest_goes_where_the_share_of_used_room_is_smallest() -> None:
    rooms = [Room("small", 2, 0), Room("big", 8, 0)]
    assert sorted(place([(None, 5)], rooms)) == ["big"] * 4 + ["small"]


def test_named_desktops_count_before_others_are_placed() -> None:
    rooms = [Room("a", 4, 0), Room("b", 4, 0)]
    assert place([(None, 2), ("a", 2)], rooms) == ["b", "b", "a", "a"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [([("a", 3)], "a has room for 2 more"), ([(None, 6)], "no room"), ([("full", 1)], "for 0")],
)
def test_no_room(wanted: list[tuple[str | None, int]], words: str) -> None:
    rooms = [Room("a", 5, 3), Room("b", 3, 0), Room("full", 1, 2)]
    with pytest.raises(InvalidParameter, match=words):
        place(wanted, rooms)


ROOMS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), min_size=1, max_size=5).map(
    lambda sizes: [Room(f"h{n}", capacity, used) for n, (capacity, used) in enumerate(sizes)]
)


@given(ROOMS, st.integers(0, 30))
def test_placement_uses_free_room_and_no_more(rooms: list[Room], count: int) -> None:
    free = {room.host: max(0, room.capacity - room.used) for room in rooms}
    if count > sum(free.values()):
        with pytest.raises(InvalidParameter):
            place([(None, count)], rooms)
    else:
        placed = place([(None, count)], rooms)
        assert len(placed) == count
        assert all(placed.count(host) <= room for host, room in free.items())


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
