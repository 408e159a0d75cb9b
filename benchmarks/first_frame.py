"""How long a user looks at nothing: from his click to the first frame of a ready spare.

usage: python -m benchmarks.first_frame [--real] [--users N]
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from functional.test_cli import Rdms
from live.chromium import SHOWS_SOMETHING, Chromium, sign_in
from live.rfb import Viewer
from live.rollout import BOOT_S, begin_create, follow, remove_all
from live.service import Service, until
from live.service import rdms as run
from openrdms.adapters import simulator
from openrdms.runtime_dir import make_runtime_dir

BAR_SECONDS = 1.5
LOOK_SECONDS = 2
"""How long a user looks at his tiles before he clicks."""

PASSWORD = "a password of benchmarks"

CLICK = """async (token) => {
  const begun = performance.now();
  const reply = await fetch("/api/v1/me/connections", {
    method: "POST",
    headers: {"content-type": "application/json", "x-csrf-token": token},
    body: JSON.stringify({collection: "spares"}),
  });
  if (reply.status === 200) location.assign((await reply.json()).display.page);
  return reply.status === 200 ? performance.now() - begun : 0;
}"""
"""What the portal does; returns the milliseconds that brokering took, 0 when there was none."""

Floor = Callable[[str], float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", action="store_true", help="on QEMU, not on the simulator")
    parser.add_argument("--users", type=int, default=0, help="5, or 2 on QEMU")
    given = parser.parse_args()
    users = given.users or (2 if given.real else 5)
    where = "QEMU" if given.real else "the simulator"
    print(f"{where}: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="rdms-bench-") as directory:
        place = Path(directory)
        with _serve_real(place) if given.real else _serve_simulated(place) as (rdms, floor):
            _fill(rdms, users)
            taken = [_click(rdms, f"user{number}") for number in range(users)]
            _print(taken, [floor(f"spares-{number + 1}") for number in range(users)])
            remove_all(rdms.service.wire(), "spares")


@contextmanager
def _serve_simulated(place: Path) -> Iterator[tuple[Rdms, Floor]]:
    cluster = f"simulator://{place}/cluster?hosts=1&users=0"
    with _serving(Service(place / "state", cluster)) as rdms:

        def floor(vm: str) -> float:
            (host,) = simulator.connect(cluster)
            with closing(host):
                return _time_frame(lambda: host.open_display(vm))

        yield rdms, floor


@contextmanager
def _serve_real(place: Path) -> Iterator[tuple[Rdms, Floor]]:
    state = place / "state"
    options = ("--variant", "tiny", "--no-autologin", "--state-dir", state)
    run("image", "build", "tiny", *options)
    with _serving(Service(state)) as rdms:

        def floor(vm: str) -> float:
            return _time_frame(lambda: _connect(make_runtime_dir(state) / "vnc" / vm))

        yield rdms, floor


@contextmanager
def _serving(service: Service) -> Iterator[Rdms]:
    try:
        service.start()
        yield Rdms(service)
    finally:
        service.clear()


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def _time_frame(connect: Callable[[], socket.socket]) -> float:
    begin = time.perf_counter()
    with closing(Viewer(connect())) as viewer:
        viewer.look()
        return time.perf_counter() - begin


def _fill(rdms: Rdms, users: int) -> None:
    """As many spares as users, all ready."""
    password = rdms.cluster.parent / "users-password"
    password.write_text(f"{PASSWORD}\n")
    for number in range(users):
        role = ("--role", "user", "--password-file", str(password))
        rdms.read("user", "add", f"user{number}", *role)
    wire = rdms.service.wire()
    report = follow(wire, begin_create(wire, "spares", users), BOOT_S)
    assert report.state == "JOB_COMPLETED"
    assert rdms.run("collection", "set", "spares", "--user-group", "Everyone").exit_code == 0
    until("all are ready", lambda: rdms.read("pool", "show", "spares")["Ready"] == users, BOOT_S)


def _click(rdms: Rdms, user: str) -> float:
    """Seconds until his screen shows anything, in a browser that has not been here before."""
    with ExitStack() as exits:
        chromium = Chromium(exits.enter_context(sync_playwright()), exits)
        browser = chromium.of(rdms.service)
        context = exits.enter_context(browser.new_context(base_url=rdms.service.ready["web"]))
        page: Page = context.new_page()
        page.goto("/")
        sign_in(page, user, PASSWORD)
        page.wait_for_timeout(1000 * LOOK_SECONDS)
        token = page.locator('meta[name="csrf-token"]').get_attribute("content")
        begin = time.perf_counter()
        while not (brokered := page.evaluate(CLICK, token)):  # the spare had to be made anew
            until("one is ready", lambda: rdms.read("pool", "show", "spares")["Ready"], BOOT_S)
            begin = time.perf_counter()
        page.wait_for_url("**/display/*", wait_until="commit")
        page.wait_for_function(SHOWS_SOMETHING, polling=10)
        taken = time.perf_counter() - begin
        print(f"{user}: {1000 * taken:.0f} ms, of which brokering {brokered:.0f} ms")
        return taken


def _print(taken: list[float], floors: list[float]) -> None:
    middle, floor = statistics.median(taken), statistics.median(floors)
    print(f"click to first frame: {', '.join(f'{1000 * each:.0f}' for each in taken)} ms")
    print(f"bare socket to first frame: {', '.join(f'{1000 * each:.0f}' for each in floors)} ms")
    verdict = "ok" if middle <= BAR_SECONDS else "MISSED"
    print(f"median {1000 * middle:.0f} ms, floor {1000 * floor:.0f} ms, ", end="")
    print(f"at most {1000 * BAR_SECONDS:.0f} ms: {verdict}")


if __name__ == "__main__":
    main()
