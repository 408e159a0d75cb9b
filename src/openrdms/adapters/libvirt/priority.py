"""QEMU of the embedded libvirt gives way to the service, whose processors it uses.

Each is a session of its own, and where no control groups share processors out the kernel gives each
session as much as the whole service (sched(7), autogroup): while sixteen desktops booted on two
processors, the service had its turns so late that it answered a cancel after seconds. libvirtd's
are in a control group beside that of all services, and need none of this.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from openrdms.adapters.processes import NICE


def give_way(pid: int) -> bool:
    """Lower the priority of a process and of its session; False when that is to be asked for again,
    as the kernel takes few such requests at a time. One that has ended is fine, and so is one that
    is not ours to change.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICE)  # what its first thread makes begins with it
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(ProcessLookupError):
                os.setpriority(os.PRIO_PROCESS, int(thread), NICE)
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
