"""The chain: whatever one changes in it is found."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.audit import AuditHead, AuditRecord, chain, follow

KEY = b"key"

_values = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3)),
    max_size=3,
)
_records = st.builds(
    AuditRecord,
    sequence=st.just(0),
    time=st.datetimes(timezones=st.just(UTC)),
    who=st.text(max_size=5),
    address=st.text(max_size=5),
    what=st.text(max_size=5),
    on=_values,
    parameters=_values,
    result=st.text(max_size=5),
    reason=st.text(max_size=5),
    of=st.none() | st.integers(1, 9),
)
_chains = st.lists(_records, min_size=1, max_size=6).map(
    lambda records: chain(KEY, AuditHead(), records)
)


def is_whole(records: list[AuditRecord]) -> bool:
    return not follow(KEY, AuditHead(), records)[1]


@given(_chains)
def test_an_untouched_chain_is_whole(records: list[AuditRecord]) -> None:
    head, problem = follow(KEY, AuditHead(), records)
    assert (head, problem) == (AuditHead(len(records), records[-1].hash), "")


@given(_chains, st.data())
def test_a_change_of_any_field_is_found(records: list[AuditRecord], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(records) - 1))
    name = data.draw(st.sampled_from([item.name for item in fields(AuditRecord)]))
    value = getattr(data.draw(_records), name) if name != "hash" else "0" * 64
    changed = replace(records[place], **{name: value})
    if changed == records[place]:
        return
    broken = [*records[:place], changed, *records[place + 1 :]]
    head, problem = follow(KEY, AuditHead(), broken)
    assert problem
    assert head.count == place


@given(_chains, st.data())
def test_a_record_that_was_removed_is_found(
    records: list[AuditRecord], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(records) - 1))
    left = records[:place] + records[place + 1 :]
    # The last one can be missing only from the view of who knows how many there were.
    assert is_whole(left) == (place == len(records) - 1)


@given(_chains, st.data())
def test_records_in_another_order_are_found(
    records: list[AuditRecord], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(records))
    assert is_whole(shuffled) == (shuffled == records)


@given(_chains, _records, st.data())
def test_a_record_put_in_between_is_found(
    records: list[AuditRecord], extra: AuditRecord, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(records) - 1))
    before = AuditHead(place, records[place - 1].hash) if place else AuditHead()
    forged = [*records[:place], *chain(KEY, before, [extra]), *records[place:]]
    assert not is_whole(forged)


@given(_chains)
def test_a_chain_that_was_made_with_another_key_is_found(records: list[AuditRecord]) -> None:
    assert not is_whole(chain(b"another", AuditHead(), records))


def test_the_hash_does_not_depend_on_the_time_zone() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    record = AuditRecord(0, noon, "alice", "", "call", {}, {}, "0", "", None)
    there = noon.astimezone(timezone(timedelta(hours=2)))
    assert is_whole([replace(item, time=there) for item in chain(KEY, AuditHead(), [record])])
