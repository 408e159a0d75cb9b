"""OpenRDMS: Remote Desktop Management Services for Linux and KVM."""
