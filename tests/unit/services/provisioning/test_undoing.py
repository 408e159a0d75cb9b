"""What is to be undone of one desktop, as its host's tokens see it."""

from __future__ import annotations

import pytest

from fakes.job_work import make_rows
from openrdms.jobs.tokens import Kind
from openrdms.model.job import JobAction
from openrdms.services.provisioning.recipes import STAGES
from openrdms.services.provisioning.undoing import Undoing


@pytest.mark.parametrize(
    ("action", "phases", "kind"),
    [
        (JobAction.CREATE, 1, Kind.REMOVE),
        (JobAction.CREATE, 2, Kind.REMOVE),
        (JobAction.CREATE, 3, Kind.STOP),
        (JobAction.CREATE, 5, Kind.STOP),
        (JobAction.PATCH, 1, Kind.STOP),  # what runs on a disk of an earlier update is stopped
    ],
)
def test_what_never_ran_is_removed_and_all_else_is_stopped_first(
    action: JobAction, phases: int, kind: Kind
) -> None:
    begun = reversed(STAGES[action][:phases])
    undos = [(stage.phase, stage.undo) for stage in begun if stage.undo]
    assert Undoing(make_rows(1)[0], undos).kind is kind
