"""Classes of root/openrdms, which are our own: one file for each."""

from __future__ import annotations

from openrdms.providers.openrdms.host import HostProvider

__all__ = ["HostProvider"]
