"""A host that is cut off from the network and comes back: how soon its desktops are unknown, and
right again, and what jobs for another host take meanwhile. Each host is a libvirtd in namespaces
of its own (which takes root), reached by TLS; desktops are left off, so the service's work counts.

usage: python -m benchmarks.hosts [--runs N] [--desktops N]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measured import Measured
from fakes.provisioning_rig import create
from live.namespaces import Machine, machines
from live.rollout import create_collection, execute, follow, remove_all
from live.service import Service, rdms, until
from openrdms.model.host import VmState
from openrdms.model.provisioning import render_job

CUT, OTHER = "cut", "other"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--desktops", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        place = Path(directory)
        with machines(2, place) as hosts:
            service = open_service(place, hosts)
            try:
                measure(Measured(service, place), hosts, asked.runs, asked.desktops)
            finally:
                service.clear()


def open_service(place: Path, hosts: list[Machine]) -> Service:
    shared = f"accel=qemu&shared={place}/shared"
    service = Service(place / "state", *(f"{one.tls}&name={one.name}&{shared}" for one in hosts))
    service.start()
    rdms("image", "build", "tiny", "--variant", "tiny", "--state-dir", service.state_dir)
    return service


def measure(measured: Measured, hosts: list[Machine], runs: int, desktops: int) -> None:
    cut, other = hosts
    begin(measured, CUT, cut, 2)
    fill(measured, other, desktops)  # what is done once is done
    lost, back, alone, beside = [], [], [], []
    for _ in range(runs):
        alone.append(fill(measured, other, desktops))
        cut.cut_off()
        lost.append(clock(lambda: wait_for(measured, VmState.UNKNOWN)))
        beside.append(fill(measured, other, desktops))
        cut.connect_again()
        back.append(clock(lambda: wait_for(measured, VmState.STOPPED)))
    slower = statistics.median(beside) / statistics.median(alone) - 1
    print(f"unknown after  {max(lost):5.1f} s at most of {runs} cuts (asked: 10)")
    print(f"right again    {max(back):5.1f} s at most after the return (asked: 10)")
    print(
        f"jobs elsewhere {statistics.median(alone):5.2f} s; beside a host that is away"
        f" {statistics.median(beside):.2f} s ({slower:+.0%}; asked: at most +10%)"
    )


def fill(measured: Measured, host: Machine, desktops: int) -> float:
    """Seconds in which a job makes so many desktops there, which are removed then."""
    seconds = begin(measured, OTHER, host, desktops)
    remove_all(measured.wire, OTHER)
    return seconds


def begin(measured: Measured, alias: str, host: Machine, count: int) -> float:
    create_collection(measured.wire, alias)
    document = create([(host.name, count)], collection=alias, name_prefix=f"{alias}-", start=False)
    wire = measured.wire
    return clock(lambda: follow(wire, execute(wire, render_job(document))))


def wait_for(measured: Measured, state: VmState) -> None:
    def reached() -> bool:
        where = f"CollectionAlias = '{CUT}'"
        found = measured.wire.enumerate("Win32_RDMSVirtualDesktop", where)
        return bool(found) and all(one["VMState"] == str(int(state)) for one in found)

    until(f"desktops of {CUT} are {state.name}", reached, pause=0.1)


def clock(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


if __name__ == "__main__":
    main()
