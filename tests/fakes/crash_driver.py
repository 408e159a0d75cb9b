"""Kills a service at a chosen boundary of a job, opens it again and tells what came of it.

    python crash_driver.py DIRECTORY --scenario create                        at every boundary
    python crash_driver.py DIRECTORY --scenario create --cancel-at 40 --kill 41 45

A boundary is the moment before or after a call that changes something: on a host, in a guest, in
the records. Boundaries are numbered as they come; ``--kill 0`` kills nowhere and so counts them.
Each life is a forked process that ends by SIGKILL from itself. One line of JSON per kill; its
``wrong`` is empty when all is well.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import provisioning_rig as rigs
from openrdms.model.collection import IDLE_STATES, CollectionState
from openrdms.model.host import VmSpec, VmState
from openrdms.model.job import JobAction
from openrdms.model.provisioning import JobDocument
from openrdms.model.report import Report
from openrdms.model.rollout import ALL, Share
from openrdms.ports import Host

CHANGING = frozenset(
    {
        *("create_disk", "delete_disk", "delete_unused_disks"),
        *("define", "undefine", "start", "destroy"),
        *("shut_down", "export_disk", "ping", "set_identity", "generalise"),
        *("accept_job", "add_job_desktops", "put_job_desktops", "request_cancel", "end_job"),
        *("change_uses", "release_uses", "copy_image"),
        *("add_image", "drop_image", "schedule_patch", "start_patch", "cancel_patch"),
        "remove_image",
    }
)
HOSTS = (("host1.sim.local", 2), ("host2.sim.local", 1))
PARAMETERS = "hosts=2&slots=8&clone_ms=1&start_ms=1&boot_ms=5&agent_ms=1&destroy_ms=1&users=0"
EXPORT = "C:\\Exports\\master"


class Watched:
    """A port in between: tells of changing calls before and after them, notes what they make."""

    def __init__(self, port: Any, tell: Callable[[str], None], note: Callable[[str], None]) -> None:
        self._port = port
        self._tell = tell
        self._note = note

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if name == "guest":
            return lambda vm: Watched(value(vm), self._tell, self._note)
        if name not in CHANGING:
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._tell(f"before {name}")
            made = IS_NEW[name](self._port, *args) if name in IS_NEW else ""
            result = value(*args, **kwargs)
            if made:
                self._note(f"{name} {made}")
            self._tell(f"after {name}")
            return result

        return call


def _new_disk(host: Host, spec: VmSpec) -> str:
    name = f"{spec.name}.{spec.generation}.qcow2"
    return "" if any(left.name == name for left in host.list_leftovers()) else name


def _new_vm(host: Host, spec: VmSpec) -> str:
    return "" if host.find_vm(spec.name) else spec.name


def _new_start(host: Host, name: str) -> str:
    vm = host.find_vm(name)
    return name if vm and vm.state is not VmState.RUNNING else ""


IS_NEW: dict[str, Callable[..., str]] = {
    "create_disk": _new_disk,
    "define": _new_vm,
    "start": _new_start,
}
"""Names what the call is about to make, "" when it is there already."""


class Boundaries:
    """Counts them; kills at one, cancels at another.

    While the cancel is under way nobody else passes a boundary: so it has the next numbers, and
    a kill at a later one always comes after it was accepted.
    """

    def __init__(self, kill_at: int, cancel_at: int) -> None:
        self._kill_at = kill_at
        self._cancel_at = cancel_at
        self._changed = threading.Condition()
        self._canceller: threading.Thread | None = None
        self.counting = False
        self.names: list[str] = []
        self.cancel: Callable[[], None] = lambda: None

    def __call__(self, name: str) -> None:
        with self._changed:
            self._changed.wait_for(self._may_pass)
            if not self.counting:
                return
            self.names.append(name)
            number = len(self.names)
            if number == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            if number != self._cancel_at:
                return
            # from a thread of its own, as a caller's request would come
            self._canceller = threading.Thread(target=self.cancel)
        self._canceller.start()
        self._canceller.join()
        with self._changed:
            self._canceller = None
            self._changed.notify_all()

    def _may_pass(self) -> bool:
        return self._canceller in (None, threading.current_thread())


@dataclass(frozen=True)
class Scenario:
    """``before`` are jobs that have ended when ``document`` (None: a Prep) is executed, or is
    scheduled for a moment later."""

    document: JobDocument | None
    before: tuple[JobDocument, ...] = ()
    scheduled: bool = False


PATCHES = ("patch", "scheduled", "waves")
_FIRST = (rigs.create(HOSTS),)
SCENARIOS = {
    "create": Scenario(rigs.create(HOSTS)),
    "create-off": Scenario(rigs.create(HOSTS, start=False)),
    "update": Scenario(rigs.later(JobAction.UPDATE, hosts=rigs.create(HOSTS).hosts), _FIRST),
    "patch": Scenario(rigs.later(JobAction.PATCH), _FIRST),
    "scheduled": Scenario(rigs.later(JobAction.PATCH), _FIRST, scheduled=True),
    "waves": Scenario(
        rigs.later(JobAction.PATCH, waves=(Share(1), ALL), max_unavailable=Share(1)),
        _FIRST,
        scheduled=True,
    ),
    "delete": Scenario(rigs.later(JobAction.DELETE), _FIRST),
    "prep": Scenario(None, _FIRST),
}


def _open(directory: Path, boundaries: Boundaries) -> rigs.Rig:
    def watch(port: Any) -> Any:
        return Watched(port, boundaries, lambda made: _append(directory / "made", made))

    return rigs.Rig(directory, PARAMETERS, wrap_host=watch, wrap_store=watch).resume()


def _prepare(directory: Path, scenario: Scenario) -> None:
    (directory / "made").touch()
    rig = _open(directory, Boundaries(0, 0))
    rig.add_collection()
    for document in scenario.before:
        rig.run(document)


def live(directory: Path, scenario: Scenario, boundaries: Boundaries, result: Path) -> None:
    """One life of the service: go on with what there is, or begin the job; then look around."""
    rig = _open(directory, boundaries)
    cancelled = directory / "cancelled"
    boundaries.counting = True
    earlier = len(scenario.before)

    def cancel() -> None:
        if scenario.scheduled:
            rig.patching.cancel(rigs.POOL)
        else:
            rig.provisioning.cancel(_jobs(rig)[earlier])
        cancelled.touch()

    boundaries.cancel = cancel
    if len(_jobs(rig)) == earlier:
        _execute(rig, scenario)
    report = _wait_for_update(rig) if scenario.scheduled else rig.wait(_jobs(rig)[earlier])
    boundaries.counting = False
    result.write_text(
        json.dumps(
            {
                "state": report.state.name,
                "collection": rig.state().name,
                "cancelled": cancelled.exists(),
                "desktops": {d.name: d.status for d in report.desktops},
                "vms": rig.vms(),
                "files": rig.files(),
                "records": {d.name: d.generation for d in rig.store.list_desktops()},
                "orphans": [str(orphan) for orphan in rig.orphans()],
                "images": [image.reference for image in rig.images.list()],
                "staging": [str(p) for p in (directory / "state" / "prep").glob("*")],
                "boundaries": boundaries.names,
                "made": (directory / "made").read_text().splitlines(),
            }
        )
    )


def _append(file: Path, line: str) -> None:
    with file.open("a") as lines:
        lines.write(line + "\n")


def _jobs(rig: rigs.Rig) -> list[str]:
    """GUIDs in the order in which the jobs were accepted."""
    jobs = [*rig.store.list_jobs(running=False), *rig.store.list_jobs(running=True)]
    return [job.guid for job in sorted(jobs, key=lambda job: job.started)]


def _wait_for_update(rig: rigs.Rig) -> Report:
    """Of an update that was cancelled before its time there is a report, but no job."""
    rig.wait_until(lambda: rig.state() in IDLE_STATES)
    return rig.report(rig.patch().guid)


def _execute(rig: rigs.Rig, scenario: Scenario) -> None:
    if scenario.document is not None and scenario.scheduled:
        if rig.store.find_patch(rigs.POOL) is None:
            rig.schedule(0.02, scenario.document)
        return
    if scenario.document is not None:
        rig.execute(scenario.document)
        return
    rig.provisioning.prepare(
        collection="", host="host1.sim.local", vm="pool-1", export_to=EXPORT, sysprep=True
    )


def fork(life: Callable[[], None]) -> int:
    """Run it in a process of its own; returns the exit code, -9 when it was killed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            life()
            code = 0
        except BaseException:  # noqa: BLE001  nobody else says what it was
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def begin_from(kept: Path, directory: Path, prepare: Callable[[], None]) -> None:
    """Have in ``directory`` what ``prepare`` makes there, in a process of its own and but once.

    What it makes is copied to ``kept``, and from there from then on: paths are in it.
    """
    shutil.rmtree(directory, ignore_errors=True)
    if kept.exists():
        shutil.copytree(kept, directory)
        return
    directory.mkdir(parents=True)
    assert fork(prepare) == 0, "nothing could be prepared"
    shutil.copytree(directory, kept)


def crash(directory: Path, name: str, kill_at: int, cancel_at: int = 0) -> dict[str, Any]:
    """Kill at one boundary, then live to the end; what there is then."""
    scenario, kept = SCENARIOS[name], directory.with_name(f"{name}-prepared")
    begin_from(kept, directory, lambda: _prepare(directory, scenario))
    result = directory / "result.json"
    first = fork(lambda: live(directory, scenario, Boundaries(kill_at, cancel_at), result))
    if first == -signal.SIGKILL:
        second = fork(lambda: live(directory, scenario, Boundaries(0, 0), result))
        assert second == 0, f"the second life failed: {second}"
    else:
        assert first == 0, f"the first life failed: {first}"
    found: dict[str, Any] = json.loads(result.read_text())
    return found | {"kill_at": kill_at, "cancel_at": cancel_at, "killed": first == -signal.SIGKILL}


def judge(name: str, found: dict[str, Any]) -> list[str]:
    """What is wrong with how the job ended; nothing if all is well."""
    wrong = [f"orphan: {orphan}" for orphan in found["orphans"]]
    made = found["made"]
    if found["staging"]:
        wrong.append(f"staging left: {found['staging']}")
    if found["cancelled"] and found["state"] == CollectionState.JOB_COMPLETED.name:
        wrong.append("completed although it was cancelled")
    if not found["cancel_at"] and found["state"] != CollectionState.JOB_COMPLETED.name:
        wrong.append(f"ended in {found['state']} although nobody cancelled")
    if name != "prep" and found["collection"] != found["state"]:
        wrong.append(f"collection in {found['collection']}, job in {found['state']}")
    if (expected := _expected_files(name, found)) != found["files"]:
        wrong.append(f"files {found['files']}, not {expected}")
    if set(found["vms"]) != set(found["records"]):
        wrong.append(f"VMs {sorted(found['vms'])}, records {sorted(found['records'])}")
    # a Patch and a Prep stop what they start again
    if name not in (*PATCHES, "prep") and (twice := {m for m in made if made.count(m) > 1}):
        wrong.append(f"done twice: {sorted(twice)}")
    prepared = any(image.startswith("prep-") for image in found["images"])
    if prepared != (name == "prep" and found["state"] == "JOB_COMPLETED"):
        wrong.append(f"images {found['images']}")
    return wrong


def _expected_files(name: str, found: dict[str, Any]) -> list[str]:
    done = found["state"] == CollectionState.JOB_COMPLETED.name
    desktops = {f"pool-{n}": 1 for n in range(1, 4)}
    if name in PATCHES:
        # a cancelled Patch: finished desktops keep the new disk, the others the old
        desktops = {
            desktop: 2 if found["desktops"].get(desktop) == "Complete" else 1
            for desktop in desktops
        }
    if name == "update" and done:
        desktops |= {f"pool-{n}": 1 for n in range(4, 7)}
    if (name == "delete" and done) or (name.startswith("create") and not done):
        desktops = {}
    return sorted(f"{desktop}.{generation}.qcow2" for desktop, generation in desktops.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--scenario", choices=SCENARIOS, default="create")
    parser.add_argument("--cancel-at", type=int, default=0)
    parser.add_argument("--kill", type=int, nargs="+", help="default: at every boundary")
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    def run(kill_at: int) -> dict[str, Any]:
        world = options.directory / "world"
        found = crash(world, options.scenario, kill_at, options.cancel_at)
        print(json.dumps(found | {"wrong": judge(options.scenario, found)}), flush=True)
        return found

    every = options.kill or range(max(1, options.cancel_at), len(run(0)["boundaries"]) + 1)
    for kill_at in every:
        run(kill_at)


if __name__ == "__main__":
    main()
