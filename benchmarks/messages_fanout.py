"""One message to a thousand sessions, each with its own result.

usage: python -m benchmarks.messages_fanout [--sessions N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from openrdms.adapters import simulator, sql
from openrdms.app.running import SWITCH_SECONDS
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import DiskKind, Ownership, VmSpec
from openrdms.services.hosts import Hosts
from openrdms.services.sessions import Sessions

AGENT_MS = 50
BAR_SECONDS = 2.0
TITLE, TEXT = "Maintenance", "Please save your work."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--hosts", type=int, default=10)
    given = parser.parse_args()
    sys.setswitchinterval(SWITCH_SECONDS)
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        path = Path(directory)
        with _open(path, given.hosts, given.sessions) as sessions:
            begin = time.perf_counter()
            found = sessions.list(collection="pool")
            listed = time.perf_counter() - begin
            results = sessions.send_messages(found, TITLE, TEXT)
            seconds = time.perf_counter() - begin
        failed = [error for _, error in results if error]
        shown = _count_shown(path / "simulator")
    verdict = "ok" if seconds <= BAR_SECONDS and shown == given.sessions else "MISSED"
    print(
        f"{given.sessions} sessions, agents at {AGENT_MS} ms: listed in {listed:.2f} s, "
        f"messages shown after {seconds:.2f} s, bar {BAR_SECONDS} s\n"
        f"results {len(results)}, errors {len(failed)}, on screens by the simulator's truth "
        f"{shown}: {verdict}"
    )


@contextmanager
def _open(path: Path, host_count: int, count: int) -> Iterator[Sessions]:
    """Desktops that run, each with one user logged on."""
    quick = "clone_ms=0&start_ms=0&boot_ms=0&destroy_ms=0&users=1&slots=100"
    uri = f"simulator://{path}/simulator?hosts={host_count}&agent_ms={AGENT_MS}&{quick}"
    hosts = Hosts(simulator.connect(uri))
    store = sql.open_store(f"sqlite:///{path}/records.sqlite")
    for number in range(count):
        store.put_desktops([_make(hosts, f"vd-{number}", number % host_count)])
    time.sleep(2 * AGENT_MS / 1000)  # the last agents come up
    yield Sessions(store, hosts)
    hosts.close()
    store.close()


def _make(hosts: Hosts, name: str, at: int) -> Desktop:
    host = hosts.all()[at]
    (image,) = host.images()
    uuid, mac = uuid4(), "52:54:00:00:00:01"
    ownership = Ownership("pool", "", image.reference)
    spec = VmSpec(name, uuid, mac, image, DiskKind.LINKED, 1, ownership)
    host.create_disk(spec)
    host.define(spec)
    host.start(name)
    return Desktop(
        *(name, host.name, uuid, mac, "pool", "pool", image.reference, DiskKind.LINKED),
        *(1, DesktopStatus.SUCCESS),
    )


def _count_shown(path: Path) -> int:
    wanted = {"title": TITLE, "text": TEXT}
    return sum(
        session["messages"].count(wanted)
        for host in simulator.read_state(path)["hosts"]
        for vm in host["vms"]
        for session in vm["sessions"]
    )


if __name__ == "__main__":
    main()
