"""Hypervisor adapter for libvirt and QEMU, by default without a daemon: ``host.connect``."""
