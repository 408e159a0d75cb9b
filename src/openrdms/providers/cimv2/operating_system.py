"""Win32_OperatingSystem."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from openrdms.providers.fixed_instances import FixedInstances
from openrdms.providers.service_provider import Where
from openrdms.providers.values import Values

VERSION = "10.0.20348"
"""Clients take the major number for the generation of the broker's interface: from 10 on they call
GetJoinedNodeCount, before it they read IsRdvh and IsRdsh of every node (facts 0.4). A kernel's 6.1
would say the wrong thing, so this is the Windows Server whose interface we have (2022); Caption
is the truth.
"""

_LINUX = 36
"""OSType, as CIM_OperatingSystem numbers them."""


class OperatingSystem(FixedInstances):
    """The machine that the service runs on."""

    cim_class = "Win32_OperatingSystem"

    def do_list(self, where: Where) -> Iterable[Values]:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
        yield {
            "Name": name,
            "Caption": name,
            "Version": VERSION,
            "BuildNumber": VERSION.rpartition(".")[2],
            "CSName": platform.node(),
            "OSArchitecture": "64-bit" if sys.maxsize > 2**32 else "32-bit",
            "OSType": _LINUX,
            "LastBootUpTime": _last_boot(),
            "LocalDateTime": datetime.now(UTC),
        }


def _last_boot() -> datetime | None:
    """To the second, as the kernel tells it (proc_stat(5))."""
    found = re.search(r"^btime (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
    return datetime.fromtimestamp(int(found[1]), UTC) if found else None
