"""Classes of root/cimv2 that clients of root/cimv2/rdms read too."""

from __future__ import annotations

from openrdms.providers.cimv2.operating_system import OperatingSystem
from openrdms.providers.cimv2.session_directory import SessionDirectory

__all__ = ["OperatingSystem", "SessionDirectory"]
