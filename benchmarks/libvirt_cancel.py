"""A job on one libvirt host that leaves its desktops off, cancelled in its middle, beside the bare
calls that remove as many by eight threads: libvirt's own, and those of its adapter.

usage: python -m benchmarks.libvirt_cancel [--desktops N]
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
from openrdms.model.job import Phase

RATIO_BAR = 1.2
_LOOK_SECONDS = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--desktops", type=int, default=1000)
    count = parser.parse_args().desktops
    print(f"load before: {os.getloadavg()[0]:.2f}, {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        with open_service(Path(directory) / "state") as service:
            measured = Measured(service, Path(directory))
            job = measured.begin_create("bench", count, start=False)
            while _count_begun(measured, job, Phase.DEFINE) < count / 2:
                time.sleep(_LOOK_SECONDS)
            asked = time.time()
            assert cancel(measured.wire, job.guid) == 0
            ended = measured.finish(job)
            assert ended.state is CollectionState.JOB_ABORTED, service.read_log()
            disks = _count_begun(measured, job, Phase.DISK)
            domains = _count_begun(measured, job, Phase.DEFINE)
            orphans = service.find_orphans()
        floors = measure_removal(Path(directory) / "floor", domains)
    undone = job.asked + ended.wall - asked
    print(
        f"job of {count} cancelled in its middle: {disks} disks, {domains} definitions undone"
        f" {undone:.2f} s after the call; left over: {len(orphans)}"
    )
    for name, floor in zip(("libvirt's own calls", "calls of its adapter"), floors, strict=True):
        met = undone <= RATIO_BAR * floor
        print(
            f"{name}, {THREADS} threads: {floor:.2f} s; the job took {undone / floor:.2f} x that,"
            f" bar {RATIO_BAR:g} x: {'met' if met else 'MISSED'}"
        )


def _count_begun(measured: Measured, job: Begun, phase: Phase) -> int:
    """Desktops of which that much was begun, by the job's rows: all that is to be taken back."""
    later = (phase, Phase.DEFINE, Phase.IDENTITY)
    query = "SELECT count(*) FROM job_desktops WHERE job = ? AND intended IN (?, ?, ?)"
    [(begun,)] = measured.service.read_rows(query, job.guid, *later)
    return int(begun)


if __name__ == "__main__":
    main()
