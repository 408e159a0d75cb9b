"""Hypervisor adapter for libvirt and QEMU, by default without a daemon: ``host.connect``."""

import os

# Inside this process libvirt logs to standard error, down to every name it did not find. Errors
# come to us as exceptions. libvirt reads this when it is first imported (libvirt.org/logging.html).
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")
