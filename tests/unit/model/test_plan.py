from dataclasses import replace
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from openrdms.model.errors import InvalidParameter
from openrdms.model.job import JobAction
from openrdms.model.plan import (
    Plan,
    PlannedChange,
    PlannedDesktop,
    PlannedHost,
    parse_plan,
    render_plan,
)
from openrdms.model.reason import ReasonCode

SCHEMA = etree.XMLSchema(
    etree.fromstring((resources.files("openrdms.model") / "plan.xsd").read_bytes())
)
# every character, also those that XML cannot hold: words come from hosts and users
ANY_TEXT = st.text(max_size=30)
SOME_TEXT = st.text(min_size=1, max_size=30)
NUMBER = st.integers(0, 2**31)
PLANS = st.builds(
    Plan,
    collection=ANY_TEXT,
    action=st.sampled_from([*JobAction, *PlannedChange]),
    image=ANY_TEXT,
    refusal=ANY_TEXT,
    reason=st.sampled_from(["", *ReasonCode]),
    seconds=st.none() | NUMBER,
    basis=ANY_TEXT,
    warnings=st.lists(SOME_TEXT, max_size=2).map(tuple),
    hosts=st.lists(
        st.builds(PlannedHost, SOME_TEXT, *([NUMBER] * 5), copy_bytes=NUMBER), max_size=3
    ).map(tuple),
    desktops=st.lists(
        st.builds(
            PlannedDesktop,
            SOME_TEXT,
            SOME_TEXT,
            st.sampled_from(ReasonCode),
            *([ANY_TEXT] * 3),
            wave=st.integers(0, 20),
        ),
        max_size=3,
    ).map(tuple),
)


@given(PLANS)
def test_what_is_rendered_is_valid_and_reads_the_same(plan: Plan) -> None:
    text = render_plan(plan)
    SCHEMA.assertValid(etree.fromstring(text.encode()))
    found = parse_plan(text)
    assert render_plan(found) == text


def test_every_user_is_named_once() -> None:
    desktop = PlannedDesktop("d1", "h", ReasonCode.AS_ASKED, user="CONTOSO\\anna")
    other = replace(desktop, name="d3", user="", awaited="CONTOSO\\bob")
    plan = Plan("C", JobAction.PATCH, desktops=(desktop, replace(desktop, name="d2"), other))
    assert (plan.users, plan.awaited) == (("CONTOSO\\anna",), ("CONTOSO\\bob",))
    assert parse_plan(render_plan(plan)) == plan


@pytest.mark.parametrize(
    "text", ["", "<a/>", render_plan(Plan("C", JobAction.PATCH)).replace("Image>", "Picture>")]
)
def test_what_is_no_plan(text: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_plan(text)
