"""A real Linux guest with the stock agent keeps what every guest promises."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import libvirt
import pytest

from contract.guest_suite import GuestSuite
from contract.host_suite import EventLog, make_spec, make_vm, remove_vm
from openrdms.adapters.libvirt.agent import LibvirtAgent
from openrdms.adapters.libvirt.guest_exec import Deadline, GuestCommands
from openrdms.adapters.libvirt.host import LibvirtHost
from openrdms.model.errors import GuestUnreachable
from openrdms.model.host import GuestIdentity, InstalledApplication
from openrdms.model.image import ImageVersion
from openrdms.ports import Guest
from openrdms.runtime_dir import make_runtime_dir

pytestmark = [pytest.mark.libvirt, pytest.mark.timeout(400)]

BOOT_SECONDS = 300
ENTRY = "[Desktop Entry]\nType=Application\nName=%s\nExec=cat --number %%f\nIcon=cat\n%s\n"
INSTALL = f"""
mkdir -p /usr/share/applications
cd /usr/share/applications
entry() {{ printf '{ENTRY}' "$2" "$3" > "$1.desktop"; }}
entry shown 'Über 你好'
entry hidden hidden NoDisplay=true
entry untried untried TryExec=absent
"""
LOG_ON = """
systemd-run --quiet --wait --property=PAMName=login --property=User=alice \
    --property=TTYPath=/dev/tty3 --property=StandardInput=tty true
echo done
"""
IDENTITY = "cat /etc/hostname /etc/machine-id /sys/class/net/eth0/address"


class TestLibvirtGuest(GuestSuite):
    timeout = 60.0  # emulated, beside whatever else the machine does
    disconnects = False
    has_clipboard = False

    @pytest.fixture(scope="class")
    @classmethod
    def state_dir(cls, embedded_state_dir: Path) -> Path:
        return embedded_state_dir

    @pytest.fixture(scope="class")
    @classmethod
    def host(cls, embedded_host: LibvirtHost) -> Iterator[LibvirtHost]:
        yield embedded_host
        for vm in embedded_host.list_vms():
            remove_vm(embedded_host, vm.name)

    @pytest.fixture(scope="class")
    @classmethod
    def guest(cls, host: LibvirtHost, tiny_image: ImageVersion) -> Guest:
        log = EventLog()
        unsubscribe = host.subscribe(log)
        make_vm(host, make_spec(tiny_image, "desk"))
        log.boot(host, "desk", BOOT_SECONDS)
        unsubscribe()
        guest = host.guest("desk")
        deadline = Deadline(BOOT_SECONDS)  # the agent answers before alice is logged on
        while not guest.list_sessions(cls.timeout):
            deadline.pause(0.5)
        return guest

    @pytest.fixture(scope="class")
    @classmethod
    def off_guest(cls, host: LibvirtHost, tiny_image: ImageVersion) -> Guest:
        make_vm(host, make_spec(tiny_image, "off"))
        return host.guest("off")

    @pytest.fixture(scope="class")
    @classmethod
    def silent_guest(cls, host: LibvirtHost, tiny_image: ImageVersion) -> Guest:
        """Stays in its initrd's shell, where there is no agent."""
        stuck = replace(tiny_image, cmdline=f"{tiny_image.cmdline} break=top")
        make_vm(host, make_spec(stuck, "silent"))
        host.start("silent")
        return host.guest("silent")

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, guest: Guest, state_dir: Path) -> Iterator[Callable[[str], bytes]]:
        """Runs a shell command in the guest, past the port."""
        link = libvirt.open(f"qemu:///embed?root={make_runtime_dir(state_dir)}/libvirt")
        commands = GuestCommands(LibvirtAgent("desk", link.lookupByName, threading.Lock()))

        def run(script: str) -> bytes:
            output = commands.run(["/bin/sh", "-c", script], Deadline(cls.timeout))
            return output.check(script).out

        yield run
        link.close()

    @pytest.fixture(scope="class")
    @classmethod
    def log_on(cls, run: Callable[[str], bytes]) -> Callable[[], None]:
        """On a terminal of its own; the session ends with its command."""
        return lambda: run(LOG_ON) and None

    def check_command(self, guest: Guest) -> None:
        result = guest.run_command("echo out; echo err >&2; id -u; exit 3", self.timeout)
        assert result.status == 3
        assert {"out", "err", "0"} <= set(result.output.split())
        with pytest.raises(GuestUnreachable):
            guest.run_command("sleep 977", 2)
        assert guest.run_command("sleep 4; pgrep -f 'sleep [9]77'", self.timeout).status == 1

    @pytest.fixture(scope="class")
    @classmethod
    def installed(cls, run: Callable[[str], bytes]) -> InstalledApplication:
        run(INSTALL)
        return InstalledApplication("Über 你好", "/usr/bin/cat", "--number", "cat")

    def test_idle_since_the_terminal_was_last_read(
        self, guest: Guest, run: Callable[[str], bytes]
    ) -> None:
        run("touch -a -d '20 seconds ago' /dev/tty1")
        (alice,) = guest.list_sessions(self.timeout)
        assert alice.idle is not None
        assert timedelta(seconds=20) <= alice.idle < timedelta(seconds=60)

    def test_hidden_applications_are_left_out(
        self, guest: Guest, installed: InstalledApplication
    ) -> None:
        assert guest.list_applications(self.timeout) == [installed]

    @pytest.fixture(scope="class")
    @classmethod
    def seen(cls, run: Callable[[str], bytes]) -> Callable[[], list[str]]:
        return lambda: [read_screen(run("head -c 2 /dev/vcsa1; cat /dev/vcsu1"))]

    @pytest.fixture(scope="class")
    @classmethod
    def identity(cls, run: Callable[[str], bytes]) -> Callable[[], GuestIdentity]:
        def read() -> GuestIdentity:
            hostname, *machine_id, mac = run(IDENTITY).decode().split()
            return GuestIdentity(hostname, "".join(machine_id), mac)

        return read


def read_screen(memory: bytes) -> str:
    """A console's rows: its size in two bytes, then UTF-32, wide characters over two cells."""
    rows, columns = memory[0], memory[1]
    cells = memory[2:].decode("utf-32")
    lines = (cells[row * columns : (row + 1) * columns].rstrip() for row in range(rows))
    return re.sub(r"([\u2e80-\uffdc])\s", r"\1", "\n".join(lines))
