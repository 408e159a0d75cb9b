"""Which stages a job has: one visible table."""

from __future__ import annotations

from collections.abc import Mapping

from openrdms.model.job import Job, JobAction, Phase
from openrdms.services.provisioning import claims, gate, preparing, stages
from openrdms.services.provisioning.stages import Stage, Undo

_MAKING = (
    Stage(Phase.DISK, stages.make_disk, stages.delete_disk),
    Stage(Phase.DEFINE, stages.define, stages.undefine),
    Stage(Phase.START, stages.start, stages.destroy, of_started=True),
    Stage(Phase.AGENT, stages.await_agent, of_started=True),
    Stage(Phase.IDENTITY, stages.set_identity, stages.nothing, of_started=True),
)

STAGES: Mapping[JobAction, tuple[Stage, ...]] = {
    JobAction.CREATE: _MAKING,
    JobAction.UPDATE: _MAKING,
    JobAction.PATCH: (
        Stage(Phase.DISK, stages.make_next_disk, stages.delete_next_disk),
        Stage(Phase.DEFINE, stages.exchange_disk, stages.restore_disk),
        Stage(Phase.START, stages.start, of_started=True),
        Stage(Phase.AGENT, stages.await_agent, of_started=True),
        Stage(Phase.IDENTITY, gate.identify, of_started=True),
    ),
    JobAction.DELETE: (
        Stage(Phase.STOP, claims.stop_for_good),
        Stage(Phase.UNDEFINE, stages.removing(stages.undefine)),
        Stage(Phase.ERASE, stages.removing(stages.delete_unused_disks)),
    ),
    JobAction.PREP: preparing.STAGES,
}
"""In the order of PHASES, which a test holds. Delete has no undo: it cannot be cancelled."""

CLEANING: Mapping[JobAction, tuple[Undo, ...]] = {
    JobAction.PATCH: (gate.end_trial, stages.delete_unused_disks),
    JobAction.PREP: preparing.CLEANING,
}
"""What remains to be done for the desktops that succeeded, once nothing can undo them."""


def stages_of(job: Job) -> tuple[Stage, ...]:
    """The stages of this job, without what its options leave out."""
    whole = STAGES[job.action]
    if job.action is JobAction.PREP and not job.options["sysprep"]:
        return tuple(stage for stage in whole if stage.phase not in preparing.SYSPREP_PHASES)
    return whole
