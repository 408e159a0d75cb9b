"""What becomes of desktops that nobody has in hand: rules that hold whatever the situation is."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.pool_policy import (
    EXPIRY,
    GRACE,
    NOT_MADE_HERE,
    RETRY,
    Breaker,
    HostRoom,
    PoolRules,
    Situation,
    Step,
    decide,
    share_idle,
    use_after,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DELAY = timedelta(minutes=30)
RULES = PoolRules(pooled=True, save_delay=DELAY, image="tiny@1")
HOSTS = {"host1": HostRoom(None, 100), "host2": HostRoom(None, 100)}


def make_use(number: int = 1, use: Use = Use.READY, **fields: object) -> DesktopUse:
    made = DesktopUse(f"pool-{number}", "pool", "host1", UUID(int=number), use, NOW, NOW)
    return replace(made, **{"image": "tiny@1", "resets": True, **fields})  # type: ignore[arg-type]


def ages() -> st.SearchStrategy[datetime]:
    minutes = st.sampled_from([0, 1, 9, 10, 29, 30, 60, 24 * 60 - 1, 24 * 60, 48 * 60])
    return minutes.map(lambda age: NOW - timedelta(minutes=age))


@st.composite
def uses(draw: st.DrawFn) -> list[DesktopUse]:
    kinds = draw(st.lists(st.sampled_from(Use), max_size=12))
    resets = draw(st.booleans())
    return [
        make_use(
            number,
            use,
            host=draw(st.sampled_from(["host1", "host2", "gone"])),
            since=draw(ages()),
            fresh=draw(ages()),
            claim=draw(st.sampled_from(["", "", "{JOB}"])),
            saved=use is Use.READY and draw(st.booleans()),
            seen=use is Use.TAKEN and draw(st.booleans()),
            adopted=draw(st.sampled_from([False, False, True])),
            left_off=draw(st.booleans()),
            failures=draw(st.integers(0, 2)),
            image=draw(st.sampled_from(["tiny@1", "tiny@2", ""])),
            resets=resets,
        )
        for number, use in enumerate(kinds)
    ]


situations = st.builds(
    Situation,
    uses=uses(),
    rules=st.sampled_from(
        [
            RULES,
            replace(RULES, pooled=False),
            replace(RULES, image=""),
        ]
    ),
    hosts=st.fixed_dictionaries(
        dict.fromkeys(
            ("host1", "host2"),
            st.builds(HostRoom, st.none() | st.integers(0, 4), st.integers(-1, 5)),
        )
    ),
    now=st.just(NOW),
    waiting=st.integers(0, 4),
    allowance=st.none() | st.integers(0, 2),
)


@given(situations)
def test_no_desktop_is_decided_on_twice(situation: Situation) -> None:
    names = [decision.use.name for decision in decide(situation).decisions]
    assert len(set(names)) == len(names)


@given(situations)
def test_what_others_have_or_want_is_left_alone(situation: Situation) -> None:
    for decision in decide(situation).decisions:
        use = decision.use
        assert use in situation.uses
        assert not use.claim
        assert use.host in situation.hosts
        assert use.use in (Use.UNREADY, Use.READY, Use.TAKEN)
        if use.use is Use.TAKEN:
            assert decision.step is Step.TAKE_BACK
            assert not use.seen
            assert NOW - use.since >= GRACE


@given(situations)
def test_each_step_begins_where_it_can(situation: Situation) -> None:
    for decision in decide(situation).decisions:
        use = decision.use
        match decision.step:
            case Step.PREPARE:
                assert (use.use, use.adopted, situation.rules.pooled) == (Use.UNREADY, False, True)
            case Step.LEAVE_OFF:
                assert (use.use, use.adopted, use.left_off) == (Use.UNREADY, False, False)
                assert situation.hosts[use.host].idle_count is not None
            case Step.SAVE:
                assert (use.use, use.saved, use.adopted) == (Use.READY, False, False)
                assert NOW - use.since >= DELAY
            case Step.RESUME:
                assert (use.use, use.saved, use.adopted) == (Use.READY, True, False)
            case Step.EXPIRE:
                assert (use.use, use.adopted, situation.rules.pooled) == (Use.READY, False, True)
            case Step.PUT_APART:
                assert use.adopted
                assert use.resets


@given(situations)
def test_limits_are_kept(situation: Situation) -> None:
    decisions = decide(situation).decisions
    begun = Counter(one.use.host for one in decisions if one.step is Step.PREPARE)
    for host, count in begun.items():
        assert count <= situation.hosts[host].room
    if situation.allowance is not None:
        assert begun.total() <= situation.allowance


@given(situations)
def test_idle_counts_are_kept(situation: Situation) -> None:
    """Nothing is begun beyond an idle count but for those who wait, nothing saved below it."""
    by_step = {step: Counter[str]() for step in Step}
    for decision in decide(situation).decisions:
        if decision.step is not Step.EXPIRE or not decision.use.saved:  # which does not run
            by_step[decision.step][decision.use.host] += 1
    free = [one for one in situation.uses if not one.claim]
    running = Counter(
        one.host
        for one in free
        if one.use is Use.PREPARING or (one.use is Use.READY and not one.saved and not one.adopted)
    )
    for name, host in situation.hosts.items():
        left = running[name] - by_step[Step.EXPIRE][name] - by_step[Step.SAVE][name]
        begun = by_step[Step.PREPARE][name] + by_step[Step.RESUME][name]
        if host.idle_count is not None and begun > situation.waiting:
            assert left + begun - situation.waiting <= host.idle_count
        if by_step[Step.SAVE][name]:
            assert left + begun >= (host.idle_count or 0)


@given(situations)
def test_it_looks_again_in_time(situation: Situation) -> None:
    due = decide(situation).due
    assert due is None or due > NOW


@given(
    st.integers(0, 40), st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 12), min_size=1)
)
def test_a_hosts_idle_count_is_shared_by_its_pools(count: int, able: dict[str, int]) -> None:
    shares = share_idle(count, able)
    assert sum(shares.values()) == min(count, sum(able.values()))
    for pool, share in shares.items():
        assert 0 <= share <= able[pool]
        if share < able[pool]:  # nobody has more than he, but for the odd one
            assert all(other <= share + 1 for other in shares.values())


def test_the_odd_spare_is_of_who_is_first_by_name() -> None:
    assert share_idle(5, {"b": 9, "a": 9}) == {"a": 3, "b": 2}
    assert share_idle(5, {"b": 1, "a": 9, "c": 0}) == {"a": 4, "b": 1, "c": 0}


def steps(*all_uses: DesktopUse, **fields: object) -> list[tuple[str, Step]]:
    situation = Situation(all_uses, RULES, HOSTS, NOW, **fields)  # type: ignore[arg-type]
    return [(one.use.name, one.step) for one in decide(situation).decisions]


def test_those_who_wait_get_what_was_left_off() -> None:
    off = [make_use(number, Use.UNREADY, left_off=True) for number in (1, 2, 3)]
    assert steps(*off) == []
    assert steps(*off, waiting=2) == [("pool-1", Step.PREPARE), ("pool-2", Step.PREPARE)]
    assert steps(*off, make_use(4, Use.PREPARING), waiting=1) == []


def test_a_desktop_that_failed_rests_for_a_while() -> None:
    failed = make_use(1, Use.UNREADY, failures=2)
    plan = decide(Situation([failed], RULES, HOSTS, NOW))
    assert (plan.decisions, plan.due) == ((), NOW + 2 * RETRY)
    later = decide(Situation([failed], RULES, HOSTS, NOW + 2 * RETRY))
    assert [one.step for one in later.decisions] == [Step.PREPARE]


def test_spares_expire_a_few_at_a_time() -> None:
    old = [make_use(number, fresh=NOW - EXPIRY) for number in range(20)]
    assert len(steps(*old)) == 2
    assert [step for _, step in steps(*old)] == [Step.EXPIRE, Step.EXPIRE]
    assert steps(*old[2:], make_use(21, Use.PREPARING), make_use(22, Use.PREPARING)) == []


def test_spares_of_another_image_are_made_anew_at_once() -> None:
    assert steps(make_use(1, image="tiny@2")) == [("pool-1", Step.EXPIRE)]
    assert steps(make_use(1, image="")) == []


def test_when_there_will_be_something_to_do() -> None:
    plan = decide(Situation([make_use(1), make_use(2, Use.TAKEN)], RULES, HOSTS, NOW))
    assert (plan.decisions, plan.due) == ((), NOW + GRACE)


def test_what_a_desktop_is_after_its_user() -> None:
    taken = make_use(1, Use.TAKEN)
    assert use_after(taken) == (Use.UNREADY, "")
    assert use_after(replace(taken, resets=False)) == (Use.READY, "")
    assert use_after(replace(taken, adopted=True)) == (Use.QUARANTINED, NOT_MADE_HERE)


def test_the_breaker_opens_and_tries_again_after_growing_pauses() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker = breaker.fail(NOW, "no agent")
    assert breaker.allowance(NOW, 3) is None
    breaker = breaker.fail(NOW, "no agent")
    assert (breaker.allowance(NOW, 0), breaker.reason) == (0, "no agent")
    assert breaker.fail(NOW, "late").due == NOW + timedelta(seconds=30)
    pauses = []
    for _ in range(7):
        assert breaker.due
        at = breaker.due
        assert (breaker.allowance(at, 1), breaker.allowance(at, 0)) == (0, 1)
        breaker = breaker.fail(at, "no agent")
        pauses.append(breaker.pause.total_seconds())
    assert pauses == [60, 120, 240, 480, 600, 600, 600]
