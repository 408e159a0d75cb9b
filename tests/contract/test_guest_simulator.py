"""The simulator's guests keep what every guest promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.guest_suite import GuestSuite
from contract.host_suite import EventLog, make_spec, make_vm
from openrdms.adapters import simulator
from openrdms.adapters.simulator import SimulatorHost
from openrdms.adapters.simulator.guest import SimulatorGuest
from openrdms.model.host import GuestIdentity, InstalledApplication, VmEventKind


class TestSimulatorGuest(GuestSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def path(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("simulator")

    @pytest.fixture(scope="class")
    @classmethod
    def host(cls, path: Path) -> Iterator[SimulatorHost]:
        (host,) = simulator.connect(f"simulator://{path}?hosts=1&users=2&boot_ms=100")
        yield host
        host.close()

    @pytest.fixture(scope="class")
    @classmethod
    def guest(cls, host: SimulatorHost) -> SimulatorGuest:
        return boot(host, "desk")

    @pytest.fixture(scope="class")
    @classmethod
    def off_guest(cls, host: SimulatorHost) -> SimulatorGuest:
        make_vm(host, make_spec(host.images()[0], "off"))
        return host.guest("off")

    @pytest.fixture(scope="class")
    @classmethod
    def silent_guest(cls, host: SimulatorHost, path: Path) -> SimulatorGuest:
        guest = boot(host, "silent")
        simulator.set_fault(path, host.name, "silent", "silent")
        return guest

    @pytest.fixture(scope="class")
    @classmethod
    def seen(cls, path: Path) -> Callable[[], list[str]]:
        return lambda: texts_on(path, "desk")

    @pytest.fixture(scope="class")
    @classmethod
    def log_on(cls, guest: SimulatorGuest) -> Callable[[], None]:
        return lambda: guest.log_on("mallory") and None

    @pytest.fixture(scope="class")
    @classmethod
    def identity(cls, guest: SimulatorGuest) -> Callable[[], GuestIdentity]:
        return guest.identity

    @pytest.fixture(scope="class")
    @classmethod
    def installed(cls) -> InstalledApplication:
        return InstalledApplication("Firefox", "/usr/bin/firefox", icon="firefox")


def boot(host: SimulatorHost, name: str) -> SimulatorGuest:
    log = EventLog()
    unsubscribe = host.subscribe(log)
    make_vm(host, make_spec(host.images()[0], name))
    host.start(name)
    log.wait(name, VmEventKind.AGENT_CONNECTED, timeout=30)
    unsubscribe()
    return host.guest(name)


def texts_on(path: Path, vm: str) -> list[str]:
    (host,) = simulator.read_state(path)["hosts"]
    (found,) = [machine for machine in host["vms"] if machine["name"] == vm]
    sessions = found["sessions"]
    return [message["text"] for session in sessions for message in session["messages"]]
