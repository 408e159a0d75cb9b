"""Jobs on one libvirt host, cancelled in their middle, beside the bare calls that remove as many by
eight threads: some that leave their desktops off, beside libvirt's own calls and those of its
adapter, also by two threads, as many as a job has; and some whose desktops start and boot, beside
those of its adapter by as many threads as a job has.

usage: python -m benchmarks.libvirt_cancel [--desktops N] [--booting N]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.libvirt_create import THREADS, measure_removal, open_service
from benchmarks.measured import Begun, Measured
from live.rollout import cancel
from openrdms.model.collection import CollectionState
from openrdms.model.job import PHASES, JobAction, Phase

RATIO_BAR = 1.2
_LOOK_SECONDS = 0.01
_DESKTOP_BYTES = 512 << 20
_JOBS = 5
"""Of each sort: what is under way at a cancel is chance."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--desktops", type=int, default=1000)
    parser.add_argument("--booting", type=int, default=_count_carried())
    given = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        with open_service(Path(directory) / "state") as service:
            measured = Measured(service, Path(directory))
            left_off, domains = _cancel_some(measured, "off", given.desktops, Phase.DEFINE)
            booting, started = _cancel_some(measured, "boots", given.booting, Phase.AGENT)
        bare = measure_removal(Path(directory) / "floor", domains, started)
    print("the medians of the jobs:")
    off = f"{domains} that are off"
    _compare(left_off, bare.libvirt, f"libvirt's own calls for {off}, {THREADS} threads")
    _compare(left_off, bare.adapter_by_two, f"calls of its adapter for {off}, 2 threads")
    _compare(left_off, bare.adapter, f"calls of its adapter for {off}, {THREADS} threads")
    _compare(booting, bare.running, f"calls of its adapter for {started} that run, as a job's")


def _count_carried() -> int:
    """Desktops that this machine has memory for, with something to spare."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _DESKTOP_BYTES


def _cancel_some(measured: Measured, alias: str, count: int, phase: Phase) -> tuple[float, int]:
    """The job of several that took the median."""
    jobs = [_cancel(measured, f"{alias}{number}", count, phase) for number in range(_JOBS)]
    return sorted(jobs)[_JOBS // 2]


def _cancel(measured: Measured, alias: str, count: int, phase: Phase) -> tuple[float, int]:
    """A job of so many, when half have come that far: the seconds from the call until all was
    undone, and how many were defined, or started, in the end.
    """
    starts = phase is Phase.AGENT
    job = measured.begin_create(alias, count, start=starts)
    while _count_begun(measured, job, phase) < count / 2:
        time.sleep(_LOOK_SECONDS)
    asked = time.time()
    assert cancel(measured.wire, job.guid) == 0
    ended = measured.finish(job)
    assert ended.state is CollectionState.JOB_ABORTED, measured.service.read_log()
    begun = _count_begun(measured, job, Phase.START if starts else phase)
    undone = job.asked + ended.wall - asked
    orphans = len(measured.service.find_orphans())
    words = "running" if starts else "defined"
    print(
        f"job of {count} cancelled when half were {words}: {begun} of them undone {undone:.2f} s"
        f" after the call; left over: {orphans}"
    )
    return undone, begun


def _compare(undone: float, floor: float, words: str) -> None:
    met = "met" if undone <= RATIO_BAR * floor else "MISSED"
    print(
        f"{words}: {floor:.2f} s; the job took {undone / floor:.2f} x that,"
        f" bar {RATIO_BAR:g} x: {met}"
    )


def _count_begun(measured: Measured, job: Begun, phase: Phase) -> int:
    """Desktops of which that much was begun, by the job's rows: all that is to be taken back."""
    phases = PHASES[JobAction.CREATE]
    later = phases[phases.index(phase) :]
    marks = ", ".join("?" * len(later))
    query = f"SELECT count(*) FROM job_desktops WHERE job = ? AND intended IN ({marks})"
    [(begun,)] = measured.service.read_rows(query, job.guid, *later)
    return int(begun)


if __name__ == "__main__":
    main()
