"""Three services on one PostgreSQL and two libvirt hosts, each of the five with a network of its
own: killed, paused and cut off at random while they make and remove real VMs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from uuid import UUID

import libvirt
import libvirt_qemu
import pytest

from fakes.random_takeovers import Found, Plan, World, draw
from fakes.takeover_proof import Proof
from live.namespaces import Machine, machines, why_not
from live.network import network
from live.postgresql import PostgreSql
from live.rollout import BOOT_S
from live.service import list_disks, rdms
from live.services import Member, Services
from live.witness import Witness
from openrdms.adapters.sql.members import SILENT_SECONDS
from openrdms.model.job import JobAction

PROOF = Path(__file__).parents[2] / "docs" / "proofs" / "takeovers-real.txt"
COUNT = 6
SEEDS = (7, 8, 10, 12, 13)
"""Between them they do everything to the service that has the job: kill it early and late, pause it
and cut it off for longer and for less than others wait; one job is cancelled, one removes.
"""

pytestmark = [pytest.mark.libvirt, pytest.mark.skipif(bool(why_not()), reason=why_not())]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_paused_and_cut_off_on_real_hosts(tmp_path: Path) -> None:
    """Two minutes for each seed that the proof has no line of yet, or of other code, and on a busy
    machine five.
    """
    proof = Proof(PROOF, COUNT, {seed: draw(seed) for seed in SEEDS})
    if proof.missing:
        with world(tmp_path) as made:
            for seed in proof.missing:
                proof.add(seed, str(made.run(seed)))
    assert proof.is_well, PROOF.read_text()


class RealWorld(World):
    """What is true is asked of libvirt, the kernel and the guests."""

    def __init__(self, services: Services, hosts: list[Machine], shared: Path) -> None:
        super().__init__(services, COUNT, COUNT * BOOT_S)
        self._hosts = hosts
        self._shared = shared
        self._witnesses = [
            Witness(host, self._disks(host), shared / f"{host.name}.events") for host in hosts
        ]

    def measure(self) -> None:
        """See there; waits follow it. All that was done to each VM was seen."""
        super().measure()
        self._end_seconds = 5 * self.seconds[JobAction.CREATE] + 6 * SILENT_SECONDS
        done = self._count("measured")
        assert len(done) == 6 * COUNT, done  # made, defined and started; and all of it undone
        assert set(done.values()) == {1}, done

    def look(self, alias: str) -> tuple[list[str], list[str]]:
        """See there."""
        names = [name for _, name, _ in self._list_vms() if name.startswith(f"{alias}-")]
        return names, [what for what, times in self._count(alias).items() if times > 1]

    def list_begun(self, victim: Member) -> set[str]:
        """Nothing: who is cut off here is so from its hosts as well."""
        return set()

    def close(self) -> None:
        """See there."""
        super().close()
        for witness in self._witnesses:
            witness.close()

    def _prepare(self, plan: Plan) -> str:
        """One job's guests at a time are all that the machine can take."""
        while plan.action is JobAction.CREATE and self._full:
            self.await_end(self.execute(self._full.pop(), JobAction.DELETE))
        return super()._prepare(plan)

    def _judge(self, alias: str, guid: str, found: Found) -> None:
        super()._judge(alias, guid, found)
        found.wrong += self._compare(alias)
        found.state += f" ({self.seconds[found.plan.action]:.0f} s undisturbed)"

    def _compare(self, alias: str) -> Iterator[str]:
        """What hosts have and records do not, or the other way around."""
        query = "SELECT host, name, uuid, generation FROM desktops WHERE home_key = %s"
        records = self.services.read(query, alias)
        pairs: dict[str, tuple[object, object]] = {
            "VMs": (self._list_vms(), {(host, name, uuid) for host, name, uuid, _ in records}),
            "disks": (
                self._list_disks(),
                {(host, f"{name}.{number}.qcow2") for host, name, _, number in records},
            ),
            "hostnames": (self._ask_guests(), {name: name for _, name, _, _ in records}),
        }
        for what, (real, recorded) in pairs.items():
            if real != recorded:
                yield f"{what}: {real}, on record {recorded}"

    def _list_vms(self) -> set[tuple[str, str, UUID]]:
        """All there are on both hosts."""
        return {
            (host, domain.name(), UUID(bytes=domain.UUID())) for host, domain in self._domains()
        }

    def _list_disks(self) -> set[tuple[str, str]]:
        return {(host.name, name) for host in self._hosts for name in list_disks(self._disks(host))}

    def _ask_guests(self) -> dict[str, str]:
        """What every VM that runs takes for its own name."""
        request = json.dumps({"execute": "guest-get-host-name"})
        return {
            domain.name(): json.loads(libvirt_qemu.qemuAgentCommand(domain, request, 60, 0))[
                "return"
            ]["host-name"]
            for _, domain in self._domains()
            if domain.isActive()
        }

    def _domains(self) -> Iterator[tuple[str, libvirt.virDomain]]:
        for host in self._hosts:
            with closing(libvirt.open(host.unix)) as connection:
                for domain in connection.listAllDomains():
                    yield host.name, domain

    def _count(self, alias: str) -> dict[str, int]:
        """How often each thing was done to VMs of the collection, on whatever host."""
        done = Counter[str]()
        for witness in self._witnesses:
            done += witness.count()
        return {what: times for what, times in done.items() if f" {alias}-" in what}

    def _disks(self, host: Machine) -> Path:
        return self._shared / host.name / "desktops"


@contextmanager
def world(directory: Path) -> Iterator[RealWorld]:
    """Services that have been up for long enough to judge each other, and an image."""
    shared, pki = directory / "shared", directory / "pki"
    pki.mkdir()
    with ExitStack() as stack:
        net = stack.enter_context(network())
        hosts = stack.enter_context(machines(2, pki, net))
        postgresql = PostgreSql(address=net.address)
        stack.callback(postgresql.clear)
        postgresql.start()
        uris = [f"{host.tls}&accel=qemu&shared={shared}&name={host.name}" for host in hosts]
        places = [net.place(number) for number in (101, 102, 103)]
        services = Services(directory, postgresql, uris, places=places)
        stack.callback(services.clear)
        share_images(directory / "images", services)
        services.start()
        state_dir = services.members[0].state_dir
        rdms("image", "build", "tiny", "--variant", "tiny", "--state-dir", state_dir)
        made = RealWorld(services, hosts, shared)
        stack.callback(made.close)
        made.measure()  # that takes longer than services must have been up to judge each other
        yield made


def share_images(library: Path, services: Services) -> None:
    """One for all, under the same path."""
    library.mkdir()
    for member in services.members:
        member.state_dir.mkdir()
        (member.state_dir / "images").symlink_to(library)
