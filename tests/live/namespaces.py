"""Machines on this machine: each libvirtd in UTS, mount, PID and network namespaces of its own.

They see the same directories, and each other and this machine over a bridge; nothing else.
"""

from __future__ import annotations

import functools
import secrets
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import libvirt

from live.certificates import Authority
from live.service import until

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


@functools.cache
def why_not() -> str:
    """Why no such machines can be made here, "" when they can."""
    try:
        with _bridge():
            _run("unshare", "--uts", "--mount", "--pid", "--fork", "--mount-proc", "true")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"network, mount or PID namespaces cannot be made here: {error}"
    return "" if Path("/usr/sbin/libvirtd").exists() else "there is no libvirtd"


class Machine:
    """A host of virtual machines; ``name`` is its own, ``address`` its place on the bridge."""

    def __init__(self, name: str, address: str, bridge: str, authority: Authority) -> None:
        self.name = name
        self.address = address
        self._bridge = bridge
        self._authority = authority
        self._short = "or" + secrets.token_hex(4)
        # libvirt's sockets are below it, whose names must be short
        self._directory = Path(tempfile.mkdtemp(prefix="machine-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (self._directory / "output").open("wb")

    @property
    def tls(self) -> str:
        """Its URI over the bridge; without parameters of ours."""
        return f"qemu+tls://{self.address}/system?pkipath={self._authority.file.parent}"

    @property
    def unix(self) -> str:
        """Its URI by a socket, which no cut of the network reaches."""
        return f"qemu+unix:///system?socket={self._directory}/run/libvirt-sock"

    def make(self, neighbours: dict[str, str]) -> None:
        """Its directories, its place on the bridge, its certificate; it is off."""
        for own in ("etc", "lib", "log", "cache", "run"):
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
        _run("ip", "netns", "add", self._short)
        ours, theirs = f"{self._short}a", f"{self._short}b"
        _ip(f"link add {ours} type veth peer name {theirs} netns {self._short}")
        _ip(f"link set {ours} master {self._bridge} up")
        _ip(f"-n {self._short} link set lo up")
        _ip(f"-n {self._short} link set {theirs} up")
        _ip(f"-n {self._short} addr add {self.address}/24 dev {theirs}")

    def start(self) -> None:
        """Return when libvirtd answers."""
        program = Path(__file__).with_name("namespaced_host.py")
        self._process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("nsenter", f"--net=/run/netns/{self._short}"),
                *("unshare", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *(sys.executable, program, self._directory, self.name),
            ],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        until(f"libvirtd of {self.name} answers", self._answers)

    def kill(self) -> None:
        """The power goes: libvirtd and all virtual machines with it."""
        if self._process:
            self._process.kill()  # unshare: its child, process 1 of the namespace, goes with it
            self._process.wait()
            self._process = None

    def cut_off(self) -> None:
        """Pull its network cable."""
        _ip(f"link set {self._short}a down")

    def connect_again(self) -> None:
        """Plug it in."""
        _ip(f"link set {self._short}a up")

    def hide(self, directory: Path) -> None:
        """Another, empty directory is there for this machine, as if nothing were mounted."""
        self._inside("mount", "-t", "tmpfs", "none", str(directory))

    def show(self, directory: Path) -> None:
        """It sees again what it did not."""
        self._inside("umount", str(directory))

    def remove(self) -> None:
        """End it; nothing is left."""
        self.kill()
        with suppress(subprocess.CalledProcessError):
            _run("ip", "netns", "del", self._short)
        self._log.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _inside(self, *command: str) -> None:
        assert self._process
        (first,) = (
            Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        )
        _run("nsenter", f"--mount=/proc/{first}/ns/mnt", *command)

    def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError((self._directory / "output").read_text())
        with suppress(libvirt.libvirtError):
            libvirt.open(self.unix).close()
            return True
        return False


@contextmanager
def machines(count: int, directory: Path) -> Iterator[list[Machine]]:
    """So many machines, which answer. Clients' certificates are in ``directory``."""
    authority = Authority(directory)
    authority.issue(directory, "client", "the service")
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints them too
    with _bridge() as (bridge, network):
        made = [
            Machine(f"machine{number}", f"{network}.{number + 10}", bridge, authority)
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


@contextmanager
def _bridge() -> Iterator[tuple[str, str]]:
    """A bridge with an address of this machine's, and the network of it without the last number."""
    name = "or" + secrets.token_hex(4)
    network = f"10.{secrets.randbelow(50) + 200}.{secrets.randbelow(256)}"
    _ip(f"link add {name} type bridge")
    try:
        _ip(f"addr add {network}.1/24 dev {name}")
        _ip(f"link set {name} up")
        yield name, network
    finally:
        _ip(f"link del {name}")


def _ip(command: str) -> None:
    _run("ip", *command.split())


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
