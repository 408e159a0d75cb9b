from itertools import product

import pytest

from openrdms.model.job import PHASES, JobAction, Phase
from openrdms.services.provisioning.recipes import CLEANING, STAGES

# what a phase leaves behind that must be taken back; the others leave nothing
LEAVES_NOTHING = {Phase.AGENT, Phase.RESTART, Phase.GENERALISE, Phase.CAPTURE}


@pytest.mark.parametrize("action", JobAction)
def test_stages_are_the_phases_that_reports_count(action: JobAction) -> None:
    assert tuple(stage.phase for stage in STAGES[action]) == PHASES[action]


@pytest.mark.parametrize(
    ("action", "phase"),
    [(a, p) for a, p in product(JobAction, Phase) if a is not JobAction.DELETE and p in PHASES[a]],
)
def test_what_leaves_something_behind_has_an_undo(action: JobAction, phase: Phase) -> None:
    stage = next(stage for stage in STAGES[action] if stage.phase is phase)
    # restore_disk brings a patched desktop back as a whole: it stops it, too
    covered = action is JobAction.PATCH and phase in (Phase.START, Phase.IDENTITY)
    assert (stage.undo is None) == (phase in LEAVES_NOTHING or covered)


def test_only_jobs_that_keep_something_aside_clean_up() -> None:
    assert set(CLEANING) == {JobAction.PATCH, JobAction.PREP}
