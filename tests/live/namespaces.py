"""Machines on this machine: each libvirtd in UTS, mount, PID and network namespaces of its own.

They see the same directories, and each other and this machine over a bridge; nothing else.
"""

from __future__ import annotations

import functools
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import libvirt

from live.certificates import Authority
from live.network import Network, Place, network, run
from live.network import why_not as why_no_network
from live.service import until
from live.sshd import Client

_LIBVIRTD = """
listen_tls = 1
listen_tcp = 0
key_file = "{directory}/serverkey.pem"
cert_file = "{directory}/servercert.pem"
ca_file = "{authority}"
tls_no_verify_certificate = 0
auth_unix_rw = "none"
host_uuid = "{uuid}"
keepalive_interval = 2
keepalive_count = 3
"""
_QEMU = """
user = "libvirt-qemu"
group = "kvm"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""

_SSH_PORT = 22


@functools.cache
def why_not() -> str:
    """Why no such machines can be made here, "" when they can."""
    if reason := why_no_network():
        return reason
    try:
        run("unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "true")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"mount or PID namespaces cannot be made here: {error}"
    wanted = ("libvirtd", "sshd")
    missing = [name for name in wanted if not Path("/usr/sbin", name).exists()]
    return f"there is no {missing[0]}" if missing else ""


class Machine:
    """A host of virtual machines; ``name`` is its own, ``place`` where it is on a network."""

    def __init__(self, name: str, place: Place, authority: Authority, client: Client) -> None:
        self.name = name
        self.address = place.address
        self._place = place
        self._authority = authority
        self._client = client
        # libvirt's sockets are below it, whose names must be short
        self._directory = Path(tempfile.mkdtemp(prefix="machine-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (self._directory / "output").open("wb")

    @property
    def tls(self) -> str:
        """Its URI over the bridge; without parameters of ours."""
        return f"qemu+tls://{self.address}/system?pkipath={self._authority.file.parent}"

    @property
    def ssh(self) -> str:
        """Its URI by SSH, for a process that has the client's programs in PATH."""
        return f"qemu+ssh://root@{self.address}/system?keyfile={self._client.keyfile}"

    @property
    def unix(self) -> str:
        """Its URI by a socket, which no cut of the network reaches."""
        return f"qemu+unix:///system?socket={self._directory}/run/libvirt-sock"

    def make(self, neighbours: dict[str, str]) -> None:
        """Its directories, its certificate; it is off."""
        for own in ("etc", "lib", "log", "cache", "run", "sshd"):
            (self._directory / own).mkdir()
            (self._directory / own).chmod(0o755)
        names = {**neighbours, "localhost": "127.0.0.1"}
        (self._directory / "hosts").write_text(
            "".join(f"{address} {name}\n" for name, address in names.items())
        )
        self._authority.issue(self._directory, "server", self.name, self.address)
        settings = _LIBVIRTD.format(
            directory=self._directory, authority=self._authority.file, uuid=uuid.uuid4()
        )
        (self._directory / "etc/libvirtd.conf").write_text(settings)
        (self._directory / "etc/qemu.conf").write_text(_QEMU)
        self._client.prepare_server(self._directory, self.address)

    def start(self) -> None:
        """Return when libvirtd and sshd answer."""
        program = Path(__file__).with_name("namespaced_host.py")
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *self._place.enter,
                *("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *(sys.executable, program, self._directory, self.name),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        until(f"{self.name} answers", self._answers)

    def kill(self) -> None:
        """The power goes: libvirtd and all virtual machines with it."""
        if self._process:
            self._process.kill()  # unshare: its child, process 1 of the namespace, goes with it
            self._process.wait()
            self._process = None

    def cut_off(self) -> None:
        """Pull its network cable."""
        self._place.cut_off()

    def connect_again(self) -> None:
        """Plug it in."""
        self._place.connect_again()

    def hide(self, directory: Path) -> None:
        """Another, empty directory is there for this machine, as if nothing were mounted."""
        self._inside("mount", "-t", "tmpfs", "none", str(directory))

    def show(self, directory: Path) -> None:
        """It sees again what it did not."""
        self._inside("umount", str(directory))

    def remove(self) -> None:
        """End it; nothing is left but its place."""
        self.kill()
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _inside(self, *command: str) -> None:
        assert self._process
        (first,) = (
            Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        )
        run("nsenter", f"--mount=/proc/{first}/ns/mnt", *command)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError((self._directory / "output").read_text())
        with suppress(libvirt.libvirtError, OSError):
            libvirt.open(self.unix).close()
            socket.create_connection((self.address, _SSH_PORT), 1).close()
            return True
        return False


@contextmanager
def machines(count: int, directory: Path, joined: Network | None = None) -> Iterator[list[Machine]]:
    """So many machines, which answer, on a network of theirs or a given one.

    Clients' certificates and SSH's ``programs`` are in ``directory``.
    """
    authority, client = Authority(directory), Client(directory)
    authority.issue(directory, "client", "the service")
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints them too
    with nullcontext(joined) if joined else network() as net:
        made = [
            Machine(f"machine{number}", net.place(number + 10), authority, client)
            for number in range(1, count + 1)
        ]
        try:
            for machine in made:
                machine.make({each.name: each.address for each in made})
            for machine in made:
                machine.start()
            yield made
        finally:
            for machine in made:
                machine.remove()
