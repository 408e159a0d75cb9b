"""Asks another machine's libvirt who it is: ``python -m openrdms.adapters.libvirt.remote URI``.

A program, because opening a connection cannot be given a time-out, but a program can.
"""

from __future__ import annotations

import sys

import libvirt


def main(uri: str) -> int:
    """Print the host's name and return 0, or print libvirt's words and return 1."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)  # else it prints them too
    try:
        connection = libvirt.open(uri)
        sys.stdout.write(connection.getHostname())
        connection.close()
    except libvirt.libvirtError as error:
        sys.stdout.write(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
