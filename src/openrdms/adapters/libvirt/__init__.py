"""Hypervisor adapter for libvirt and QEMU, by default without a daemon: ``host.connect``."""

import os

# the embedded driver logs to standard error; read by libvirt when it is first imported
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:stderr")
