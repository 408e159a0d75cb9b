"""The first process of a machine made of namespaces: runs sshd and libvirtd, collects QEMUs.

``python namespaced_host.py DIR NAME``, as process 1 of fresh UTS, mount and PID namespaces: what
libvirt keeps is below DIR (etc, lib, log, cache, run, hosts) from then on, and ends with it. sshd
goes by DIR/sshd_config and the accounts of DIR/shadow.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

_PLACES = {
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "log": "/var/log/libvirt",
    "cache": "/var/cache/libvirt",
    "run": "/run/libvirt",
    "hosts": "/etc/hosts",
    "shadow": "/etc/shadow",
    "sshd": "/run/sshd",
}


def main(directory: Path, name: str) -> int:
    """Returns when libvirtd has ended, or this process was told to."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    socket.sethostname(name)
    for own, place in _PLACES.items():
        source = directory / own
        if source.is_dir():
            Path(place).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", source, place], check=True)
    subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", directory / "sshd_config"])
    program = ["/usr/sbin/libvirtd", "--listen", "--pid-file", "/run/libvirt/libvirtd.pid"]
    daemon = subprocess.Popen(program)
    while True:
        pid, status = os.wait()  # QEMU is nobody's child but ours once libvirt started it
        if pid == daemon.pid:
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
