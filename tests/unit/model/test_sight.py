"""What was seen of a desktop decides who may have it: the whole table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from openrdms.model.desktop_use import DesktopUse, Use
from openrdms.model.host import VmState
from openrdms.model.pool_policy import PoolRules
from openrdms.model.sight import Sight, conclude

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POOLED = PoolRules(pooled=True, save_delay=timedelta())
PERSONAL = replace(POOLED, pooled=False)
RESETS, KEEPS, OWN = (POOLED, True), (POOLED, False), (PERSONAL, False)
"""What a collection says, and whether it resets its desktops, as their uses know."""
ALICE = Sight(VmState.RUNNING, "corp\\alice")
NOBODY = Sight(VmState.RUNNING)
OFF = Sight(VmState.STOPPED)
SAVED = Sight(VmState.SAVED)


def make(use: Use, **fields: object) -> DesktopUse:
    made = DesktopUse("pool-1", "pool", "host1", UUID(int=1), use, NOW, NOW)
    return replace(made, **fields)  # type: ignore[arg-type]


HANDED_OUT = make(Use.TAKEN, holder="corp\\bob", asked=True)
AT_WORK = replace(HANDED_OUT, seen=True)


@pytest.mark.parametrize(
    ("use", "sight", "rules", "after"),
    [
        (HANDED_OUT, NOBODY, RESETS, None),
        (HANDED_OUT, ALICE, RESETS, "seen"),
        (AT_WORK, ALICE, RESETS, None),
        (AT_WORK, NOBODY, RESETS, Use.UNREADY),
        (AT_WORK, NOBODY, KEEPS, Use.READY),
        (AT_WORK, NOBODY, OWN, Use.READY),
        (replace(AT_WORK, adopted=True), NOBODY, RESETS, Use.QUARANTINED),
        (AT_WORK, OFF, KEEPS, Use.UNREADY),
        (HANDED_OUT, OFF, RESETS, Use.UNREADY),
        (AT_WORK, SAVED, RESETS, "saved"),
        (AT_WORK, Sight(VmState.PAUSED), RESETS, None),
        (make(Use.READY), NOBODY, RESETS, None),
        (make(Use.READY), ALICE, RESETS, Use.TAKEN),
        (make(Use.READY, saved=True), ALICE, OWN, Use.TAKEN),
        (make(Use.READY), OFF, RESETS, Use.UNREADY),
        (make(Use.READY), OFF, OWN, Use.UNREADY),
        (make(Use.READY), SAVED, RESETS, "saved"),
        (make(Use.UNREADY), ALICE, RESETS, Use.TAKEN),
        (make(Use.UNREADY), NOBODY, RESETS, None),
        (make(Use.UNREADY), NOBODY, KEEPS, None),
        (make(Use.UNREADY, adopted=True), NOBODY, KEEPS, Use.READY),
        (make(Use.UNREADY, adopted=True), NOBODY, RESETS, None),
        (make(Use.UNREADY), NOBODY, OWN, Use.READY),
        (make(Use.UNREADY), OFF, RESETS, None),
    ],
)
def test_conclusions(
    use: DesktopUse, sight: Sight, rules: tuple[PoolRules, bool], after: Use | str | None
) -> None:
    pool, resets = rules
    fields = conclude(replace(use, resets=resets), sight, pool)
    if isinstance(after, Use):
        assert fields
        assert fields["use"] is after
    elif after:
        assert fields
        assert fields[after] is True
        assert "use" not in fields
    else:
        assert fields is None


def test_who_comes_unasked_has_it() -> None:
    fields = conclude(make(Use.READY, turn=3, resets=True), ALICE, POOLED)
    assert fields
    assert (fields["holder"], fields["asked"], fields["turn"]) == ("corp\\alice", False, 4)
