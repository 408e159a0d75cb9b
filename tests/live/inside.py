"""What users see inside the guests, found past the product: QEMU's agents asked through libvirt.

Run as a script on the root of an embedded libvirt that no service holds: a connection to it is
best given up by ending the process.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu

from openrdms.runtime_dir import make_runtime_dir

_SECONDS = 60


@dataclass(frozen=True)
class Inside:
    """One guest: its name for itself, logind's sessions by id, the text on its first console, and
    what a command printed there.
    """

    hostname: str
    machine_id: str
    sessions: dict[str, str]
    screen: str
    printed: str


def look_inside(state_dir: Path, command: str = "") -> dict[str, Inside]:
    """Every running VM by name, with what root's shell prints for ``command``. The service must
    have been stopped.
    """
    root = make_runtime_dir(state_dir) / "libvirt"
    argv = [sys.executable, __file__, str(root), command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: Inside(**found) for name, found in json.loads(done.stdout).items()}


def _main(root: str, command: str) -> None:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=_run_events, daemon=True).start()
    connection = libvirt.open(f"qemu:///embed?root={root}")
    found = {
        domain.name(): _look(domain, command)
        for domain in connection.listAllDomains()
        if domain.isActive()
    }
    print(json.dumps(found))


def _run_events() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _look(domain: libvirt.virDomain, command: str) -> dict[str, Any]:
    _wait_for_agent(domain)
    listed = _execute(domain, "loginctl", "list-sessions", "--no-legend")
    columns = [line.split() for line in listed.splitlines() if line.split()]
    return {
        "hostname": _execute(domain, "hostname").strip(),
        "machine_id": _execute(domain, "cat", "/etc/machine-id").strip(),
        "sessions": {session: user for session, _uid, user, *_ in columns},
        "screen": _execute(domain, "cat", "/dev/vcs1"),
        "printed": _execute(domain, "/bin/sh", "-c", command) if command else "",
    }


def _wait_for_agent(domain: libvirt.virDomain) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            _ask(domain, "guest-ping")
            return
        except libvirt.libvirtError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _execute(domain: libvirt.virDomain, program: str, *arguments: str) -> str:
    request = {"path": program, "arg": list(arguments), "capture-output": True}
    pid = _ask(domain, "guest-exec", **request)["pid"]
    while not (status := _ask(domain, "guest-exec-status", pid=pid))["exited"]:
        time.sleep(0.1)
    return base64.b64decode(status.get("out-data", "")).decode(errors="replace")


def _ask(domain: libvirt.virDomain, command: str, **arguments: Any) -> Any:
    request = json.dumps({"execute": command, "arguments": arguments})
    return json.loads(libvirt_qemu.qemuAgentCommand(domain, request, 10, 0))["return"]


if __name__ == "__main__":
    _main(*sys.argv[1:])
