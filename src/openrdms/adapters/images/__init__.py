"""Disk images made and imported with Debian tools."""
