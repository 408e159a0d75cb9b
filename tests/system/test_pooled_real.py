"""Pooled and personal desktops on real virtual machines: what the simulator shows of them holds for
guests in which somebody logs on, leaves something, and goes.

A run takes eight minutes on two processors without KVM, ten where others want them too; four of
them go by the clocks of the collections. How long it waits for anything else goes by how long its
first desktop took.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conftest import ServiceFactory
from fakes.code_digest import digest_code
from functional.test_cli import Rdms
from live.browser import WebClient
from live.displays import get_ticket, open_display
from live.inside import Inside, look_inside
from live.rfb import Viewer
from live.rollout import SESSION, follow, remove_all
from live.service import rdms as run
from live.service import until
from openrdms.adapters import sql
from openrdms.cli.commands import EXIT_NOT_YET
from openrdms.model.reason import ReasonCode

PROOF = Path(__file__).parents[2] / "docs" / "proofs" / "pooled-real.txt"
SECRET = "quite a long password"
"""At the service; in the guests, names are passwords."""
FILE = "/home/alice/mine"
LOOK = f"cat /proc/sys/kernel/random/boot_id; cat /proc/cmdline; ls {FILE}"
VERSION_2 = "openrdms.version=2"

pytestmark = [pytest.mark.libvirt, pytest.mark.slow, pytest.mark.timeout(3600)]


def test_pooled_and_personal_desktops(world: World) -> None:
    """One after the other on one service: at most one virtual machine runs at a time."""
    parts: list[Callable[[World], str]] = [
        save_and_resume,
        reset,
        force_log_off,
        assign_at_first_connection,
        assign_by_hand,
    ]
    head = f"Real QEMU (TCG), image tiny, a desktop made in {world.boot:.0f} s; "
    lines = [f"{head}code {digest_code()}", *(part(world) for part in parts)]
    print(*lines, sep="\n")
    PROOF.write_text("".join(f"{line}\n" for line in lines))


@dataclass
class World:
    """A service with users alice and bob, and pool-1 of collection ``pool``, which was made in
    ``boot`` seconds.
    """

    rdms: Rdms
    boot: float

    @property
    def patience(self) -> float:
        """Seconds for whatever takes a boot or two and, where it does, a minute of some clock."""
        return 120 + 10 * self.boot

    def connect(self, collection: str, user: str) -> tuple[str, float]:
        """The desktop that the user gets, and the seconds until he has it."""
        begun = time.monotonic()
        wait = str(round(self.patience))
        given = self.rdms.read("desktop", "connect", collection, user, "--wait", wait)
        return str(given["VMName"]), time.monotonic() - begun

    def ask(self, user: str) -> str:
        """For the desktop of the pool: why he has to wait, "" when he has it."""
        result = self.rdms.run("desktop", "connect", "pool", user, "--json")
        assert result.exit_code in (0, EXIT_NOT_YET), result.output
        return str(json.loads(result.stdout).get("ReasonCode", ""))

    def look(self, desktop: str) -> Inside:
        """Inside a desktop that runs and has its name by now, past the service."""
        query = "SELECT identity_set FROM desktops WHERE name_key = ?"
        rows = self.rdms.service.read_rows
        until("it has its name", lambda: rows(query, desktop) == [(1,)], self.patience, 1)
        self.rdms.service.stop()
        try:
            return look_inside(self.rdms.service.state_dir, LOOK)[desktop]
        finally:
            self.rdms.service.start()

    def read_use(self, desktop: str) -> tuple[str, bool]:
        """What is on record of it: its use, and whether it is saved."""
        query = "SELECT use, saved FROM desktop_uses WHERE name_key = ?"
        [(use, saved)] = self.rdms.service.read_rows(query, desktop)
        return str(use).lower(), bool(saved)


@pytest.fixture
def world(tmp_path: Path, running_service: ServiceFactory) -> World:
    """Version 2 of its image is version 1, but for what the kernel is told."""
    state_dir = tmp_path / "state"
    run("image", "build", "tiny", "--variant", "tiny", "--no-autologin", "--state-dir", state_dir)
    with closing(sql.open_store(f"sqlite:///{state_dir}/records.sqlite")) as store:
        first = store.find_image("tiny")
        assert first is not None
        store.add_image(replace(first, cmdline=f"{first.cmdline} {VERSION_2}"))
    rdms = Rdms(running_service(state_dir))
    password = tmp_path / "users-password"
    password.write_text(f"{SECRET}\n")
    for name in ("alice", "bob"):
        rdms.read("user", "add", name, "--role", "user", "--password-file", str(password))
    begun = time.monotonic()
    create(rdms, "pool", "pooled", 1)
    return World(rdms, time.monotonic() - begun)


def create(rdms: Rdms, alias: str, kind: str, count: int, *options: str) -> None:
    """A collection for everybody; its job has ended."""
    what = (alias, "--type", kind, "--image", "image:tiny@1", "--count", str(count))
    rdms.read("collection", "create", *what, "--user-group", "Everyone", "--wait", *options)


@dataclass
class Seat:
    """Before the screen of one's desktop; ``picture`` keeps what was seen last."""

    world: World
    client: WebClient
    viewer: Viewer
    desktop: str
    picture: Path

    def read(self) -> str:
        """What can be read on the screen."""
        reply = self.client.get(f"/api/v1/me/desktops/{self.desktop}/screenshot.png")
        assert reply.status_code == 200, reply.text
        self.picture.write_bytes(reply.content)
        command = ["tesseract", str(self.picture), "-", "--psm", "6"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def wait_for(self, word: str) -> None:
        """Until it is on the screen."""
        until(f"{word!r} is shown", lambda: word in self.read(), self.world.patience, 1)

    def log_on(self, user: str) -> None:
        """Until the service has seen it."""
        self.wait_for("login")
        self.viewer.type(f"{user}\n")
        self.wait_for("assword")
        self.viewer.type(f"{user}\n")
        wire = self.world.rdms.service.wire()
        query = "SELECT seen FROM desktop_uses WHERE name_key = ?"

        def is_on() -> bool:
            found = wire.enumerate(SESSION, f"VMName = '{self.desktop}'")
            users = [session["UserName"] for session in found]
            seen = self.world.rdms.service.read_rows(query, self.desktop)
            return users == [user] and seen == [(1,)]

        until(f"{user} is logged on", is_on, self.world.patience, 1)

    def leave_file(self) -> None:
        """On the disk. Keys go without Shift."""
        self.viewer.type(f"cp /etc/hostname {FILE}; sync; echo wri''tten\n")
        self.wait_for("written")


@contextmanager
def sit_down(world: World, user: str, desktop: str) -> Iterator[Seat]:
    """The user in his browser, in control of the desktop that he has."""
    service = world.rdms.service
    with WebClient(service) as client:
        client.sign_in(user, SECRET)
        ticket = get_ticket(client, desktop, "control")
        with open_display(service, client, ticket) as stream:
            picture = service.state_dir.parent / "screen.png"
            yield Seat(world, client, Viewer(stream), desktop, picture)


def save_and_resume(world: World) -> str:
    """An idle desktop is saved by the clock, and goes on where it was at the next connect."""
    before = world.look("pool-1")
    world.rdms.read("collection", "set", "pool", "--save-delay", "1")
    until("it is saved", lambda: world.read_use("pool-1") == ("ready", True), world.patience, 1)
    assert world.rdms.service.find_qemus() == {}
    world.rdms.read("collection", "set", "pool", "--save-delay", "30")

    given, seconds = world.connect("pool", "alice")

    assert given == "pool-1"
    assert world.look("pool-1").printed == before.printed, "it was booted again"
    return (
        f"SaveDelay of 1 minute: saved, no QEMU left; alice has it {seconds:.1f} s after asking, "
        "in the boot that was saved"
    )


def reset(world: World) -> str:
    """What a user leaves is gone before the next one comes."""
    assert world.connect("pool", "alice")[0] == "pool-1"
    with sit_down(world, "alice", "pool-1") as seat:
        seat.log_on("alice")
        seat.leave_file()
    before = world.look("pool-1")
    assert FILE in before.printed.splitlines()
    told = [world.ask("bob")]
    with sit_down(world, "alice", "pool-1") as seat:
        seat.viewer.type("exit\n")
        begun = time.monotonic()
        while told[-1]:
            assert time.monotonic() < begun + world.patience, told
            told.append(world.ask("bob"))
        seconds = time.monotonic() - begun

    after = world.look("pool-1")

    waits = list(dict.fromkeys(told[:-1]))
    assert waits == [ReasonCode.NO_DESKTOP_LEFT, ReasonCode.NO_DESKTOP_READY]
    assert FILE not in after.printed.splitlines()
    assert after.sessions == {}
    assert after.printed.splitlines()[0] != before.printed.splitlines()[0], "the same boot"
    return (
        f"RollbackEnabled: bob, who asked all the while (told {', then '.join(waits)}), has it "
        f"{seconds:.1f} s after alice typed exit, without her file, in a boot of its own"
    )


def force_log_off(world: World) -> str:
    """Who is logged on is told, and logged off, when an update says so."""
    rdms, service = world.rdms, world.rdms.service
    assert world.connect("pool", "bob")[0] == "pool-1"
    with sit_down(world, "bob", "pool-1") as seat:
        seat.log_on("bob")
        machines = service.find_qemus()
        force = datetime.now(UTC) + timedelta(seconds=60 + 3 * world.boot)
        options = ("--force-logoff", force.isoformat())
        guid = rdms.read("collection", "update", "pool", "image:tiny@2", *options)["UpdateJobGuid"]
        seat.wait_for("minutes:")
        seat.wait_for("1 minute:")
        left = (force - datetime.now(UTC)).total_seconds()
    until("his machine ends", lambda: service.find_qemus() != machines, world.patience)
    late = (datetime.now(UTC) - force).total_seconds()
    report = follow(service.wire(), guid, world.patience)
    assert 0 < left <= 60
    assert late > 0
    assert (report.state, report.statuses) == ("JOB_COMPLETED", {"pool-1": "Complete"})

    after = world.look("pool-1")

    assert VERSION_2 in after.printed
    assert after.sessions == {}
    return (
        f"ForceLogOffTime: two notices on bob's screen, the last {left:.0f} s before it; logged "
        f"off and his machine ended {late:.1f} s after it; then pool-1 is of version 2"
    )


def assign_at_first_connection(world: World) -> str:
    """Who connects has a desktop from then on."""
    remove_all(world.rdms.service.wire(), "pool", world.patience)
    create(world.rdms, "auto", "auto-personal", 2, "--no-start")
    given, seconds = world.connect("auto", "alice")
    with sit_down(world, "alice", given) as seat:
        seat.log_on("alice")
        seat.leave_file()
        seat.viewer.type("exit\n")
        until("she is gone", lambda: world.read_use(given)[0] != "taken", world.patience, 1)
    world.rdms.read("desktop", "stop", given)
    assert world.rdms.service.find_qemus() == {}

    again, _ = world.connect("auto", "alice")

    inside = world.look(given)
    assert again == given == inside.hostname
    assert FILE in inside.printed.splitlines()
    remove_all(world.rdms.service.wire(), "auto", world.patience)
    return (
        f"Type 3: of two that were off alice has {given} after {seconds:.1f} s, and it again with "
        "her file after it was off"
    )


def assign_by_hand(world: World) -> str:
    """Whom a desktop is assigned to has it."""
    rdms = world.rdms
    create(rdms, "own", "personal", 2, "--no-start")
    refusal = rdms.run("desktop", "connect", "own", "alice")
    assert refusal.exit_code not in (0, EXIT_NOT_YET)
    assert ReasonCode.NOT_ASSIGNED in refusal.stderr
    assert rdms.run("desktop", "assign", "own-2", "--to", "alice").exit_code == 0
    assert [world.connect("own", "alice")[0] for _ in range(2)] == ["own-2", "own-2"]
    assert ReasonCode.NOT_ASSIGNED in rdms.run("desktop", "connect", "own", "bob").stderr
    assert world.look("own-2").hostname == "own-2"
    remove_all(rdms.service.wire(), "own", world.patience)
    assert rdms.service.find_qemus() == {}
    assert rdms.service.find_orphans() == []
    return "Type 2: alice has none until own-2 is assigned to her, then that; bob none"
