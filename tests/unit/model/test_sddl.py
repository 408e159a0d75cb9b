"""Security descriptors: what is read, what is refused, and who is let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrdms.model import sddl
from openrdms.model.sddl import Ace, SddlError, SecurityDescriptor

EVERYONE, USERS, ANN, BOB = "S-1-1-0", "S-1-5-32-545", "S-1-5-21-1-2-3-1001", "S-1-5-21-1-2-3-1002"
STOCK = f"O:WDG:WDD:ARP(A;CIOI;CCLCSWLORCGR;;;{ANN})(A;CIOI;CCLCSWLORCGR;;;{BOB})"

_numbers = st.integers(0, 2**32 - 1)
_sids = st.builds(
    lambda authority, parts: sddl.parse_sid("-".join(["S-1", str(authority), *map(str, parts)])),
    st.integers(0, 2**47),
    st.lists(_numbers, min_size=1, max_size=15),
)
_aces = st.builds(
    Ace,
    allow=st.booleans(),
    flags=st.lists(st.sampled_from(["OI", "CI", "NP", "IO", "ID"]), max_size=5).map("".join),
    rights=_numbers,
    sid=_sids,
)
_descriptors = st.one_of(
    st.builds(SecurityDescriptor, owner=st.none() | _sids, group=st.none() | _sids),
    st.builds(
        SecurityDescriptor,
        owner=st.none() | _sids,
        group=st.none() | _sids,
        dacl=st.lists(_aces, max_size=5).map(tuple),
        flags=st.lists(st.sampled_from(["P", "AR", "AI"]), max_size=3).map("".join),
    ),
)


@given(_descriptors)
def test_what_is_rendered_reads_the_same(descriptor: SecurityDescriptor) -> None:
    assert sddl.parse(str(descriptor)) == descriptor


@given(st.text() | st.text("OGDS:()AWDBU;-1x0RPI", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        descriptor = sddl.parse(text)
    except SddlError as error:
        assert str(error).startswith("character ")
    else:
        assert sddl.parse(str(descriptor)) == descriptor


def test_what_the_stock_client_writes_comes_back_as_it_was() -> None:
    descriptor = sddl.parse(STOCK)
    assert str(descriptor) == STOCK
    assert sddl.allow_groups([ANN, BOB]) == descriptor
    assert [piece.rpartition(";")[2] for piece in STOCK.split(")")][:2] == [ANN, BOB]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("D:(A;;GA;;;WD)", "D:(A;;GA;;;S-1-1-0)"),
        ("D:(A;;FA;;;BA)", "D:(A;;0x1f01ff;;;S-1-5-32-544)"),
        ("D:(A;;0x80000000;;;AU)", "D:(A;;GR;;;S-1-5-11)"),
        ("D:(A;;GRCC;;;S-1-0x5-0032-545)", "D:(A;;CCGR;;;S-1-5-32-545)"),
        ("O:S-1-5-32-544G:SYD:PAI", "O:BAG:SYD:PAI"),
        ("D:NO_ACCESS_CONTROL", "D:NO_ACCESS_CONTROL"),
    ],
)
def test_there_is_one_spelling(text: str, kept: str) -> None:
    assert sddl.normalise(text) == kept


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 1, "0 characters"),
        (" ", 1, "expected"),
        ("D:(nonsense", 4, "type A and D"),
        ("O:XX", 3, "stands for no SID"),
        ("O:DAD:", 3, "depends on a domain"),
        ("D:(A;;GA;;;DU)", 12, "depends on a domain"),
        ("D:(A;;GA;;;S-1-5)", 12, "expected a SID"),
        ("D:(A;;GA;;;S-1-5-4294967296)", 12, "too large"),
        ("D:(A;;GA;;;S-1-281474976710656-1)", 12, "too large"),
        ("D:(A;;GZ;;;WD)", 7, "no such name"),
        ("D:(A;;0x100000000;;;WD)", 7, "expected ';;;'"),
        ("D:(A;XX;GA;;;WD)", 6, "expected ';'"),
        ("D:(OA;;GA;;;WD)", 4, "type A and D"),
        ("D:(XA;;GA;;;WD;(1))", 4, "type A and D"),
        ("D:(A;;GA;bf967aba-0de6-11d0-a285-00aa003049e2;;WD)", 9, "expected ';;;'"),
        ("D:(A;;GA;;;WD", 14, "expected ')'"),
        ("D:(A;;GA;;;WD)S:(AU;SA;GA;;;WD)", 17, "SACL"),
        ("D:(A;;GA;;;WD)O:WD", 15, "in its turn"),
        ("G:WDO:WD", 5, "in its turn"),
        ("D:" + "(A;;GA;;;WD)" * 6000, 1, "65536"),
    ],
)
def test_an_error_says_where(text: str, position: int, words: str) -> None:
    with pytest.raises(SddlError) as caught:
        sddl.parse(text)
    assert str(caught.value).startswith(f"character {position}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sids", "allowed"),
    [
        (STOCK, {ANN}, True),
        (STOCK, {USERS, EVERYONE}, False),
        ("D:(A;;GA;;;WD)", {EVERYONE}, True),
        ("D:(A;;FR;;;WD)", {EVERYONE}, True),
        # the order decides
        (f"D:(D;;GA;;;{ANN})(A;;GA;;;WD)", {ANN, EVERYONE}, False),
        (f"D:(A;;GA;;;WD)(D;;GA;;;{ANN})", {ANN, EVERYONE}, True),
        # an entry about other rights decides nothing, nor one for children only
        ("D:(A;;WDWO;;;WD)", {EVERYONE}, False),
        ("D:(D;;GW;;;WD)(A;;GR;;;WD)", {EVERYONE}, True),
        ("D:(A;IO;GA;;;WD)", {EVERYONE}, False),
        ("D:(A;CINPIO;GA;;;WD)", {EVERYONE}, False),
        ("D:(A;CIOI;GA;;;WD)", {EVERYONE}, True),
        # an empty DACL lets nobody in; none, or a NULL one, everybody
        ("D:", {EVERYONE, ANN}, False),
        ("D:NO_ACCESS_CONTROL", set(), True),
        ("O:WDG:WD", set(), True),
    ],
)
def test_who_is_let_in(text: str, sids: set[str], allowed: bool) -> None:
    assert sddl.parse(text).allows(sids) is allowed


@given(st.lists(_aces, max_size=6), st.sets(_sids, max_size=3))
def test_the_first_entry_that_decides_is_the_answer(aces: list[Ace], others: set[str]) -> None:
    sids = others | {ace.sid for ace in aces[::2]}
    deciding = [ace for ace in aces if ace.decides_use(sids)]
    allowed = SecurityDescriptor(dacl=tuple(aces)).allows(sids)
    assert allowed is bool(deciding and deciding[0].allow)


@pytest.mark.parametrize("text", ["D:", "O:WDG:WD", "D:NO_ACCESS_CONTROL", "D:(D;;GA;;;WD)"])
def test_user_groups_are_not_an_empty_list(text: str) -> None:
    with pytest.raises(SddlError, match="at least one"):
        sddl.normalise_groups(text)
    assert sddl.normalise_groups(STOCK) == STOCK
