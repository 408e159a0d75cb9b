"""Hosts and guests through libvirt, QEMU and the standard guest agent."""
