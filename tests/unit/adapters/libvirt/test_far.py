from __future__ import annotations

import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest

from openrdms.adapters.libvirt.far import bound_ssh


@pytest.mark.parametrize("uri", ["qemu+ssh://h1/system", "qemu+ssh://me@h1:2/system?keyfile=/k"])
def test_ssh_gives_up_a_silent_host(uri: str) -> None:
    """Asked of ssh itself; it makes no connection."""
    bound = bound_ssh(uri)
    assert bound.startswith(uri)
    (program,) = parse_qs(urlsplit(bound).query)["command"]
    asked = [program, "-F", "none", "-G", "h1"]
    settings = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {"connecttimeout 3", "serveraliveinterval 2", "serveralivecountmax 3"} <= {*settings}


@pytest.mark.parametrize(
    "uri",
    [
        "qemu+tls://h1/system?pkipath=/p",
        "qemu+unix:///system?socket=/s",
        "qemu:///system",
        "qemu+ssh://h1/system?Command=/usr/local/bin/ssh",
    ],
)
def test_what_is_no_ssh_of_ours_stays(uri: str) -> None:
    assert bound_ssh(uri) == uri
