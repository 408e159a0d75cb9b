"""What administration commands work on, and who runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from openrdms.security.accounts import Accounts
from openrdms.security.audit_log import AuditLog
from openrdms.security.totp import SecondFactors
from openrdms.services.access import Access
from openrdms.services.audit import Audit
from openrdms.services.draining import Draining
from openrdms.services.host_states import HostStates
from openrdms.services.hosts import Hosts
from openrdms.services.image_diff import ImageDiff
from openrdms.services.image_removal import ImageRemoval
from openrdms.services.images import Images
from openrdms.services.installed_applications import InstalledApplications
from openrdms.services.publishing import Publishing
from openrdms.services.reconciling import Reconciling

Progress = Callable[[float, str], None]
"""Takes the fraction done and what is being done."""


class Target(Protocol):
    """What the commands work on."""

    @property
    def images(self) -> Images: ...
    @property
    def image_diff(self) -> ImageDiff: ...
    @property
    def image_removal(self) -> ImageRemoval: ...
    @property
    def hosts(self) -> Hosts: ...
    @property
    def host_states(self) -> HostStates: ...
    @property
    def draining(self) -> Draining: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def reconciling(self) -> Reconciling: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def second_factors(self) -> SecondFactors: ...
    @property
    def audit_log(self) -> AuditLog: ...
    @property
    def state_dir(self) -> Path: ...
    @property
    def access(self) -> Access: ...
    @property
    def publishing(self) -> Publishing: ...
    @property
    def installed_applications(self) -> InstalledApplications: ...


class Admin(Protocol):
    """Runs administration commands, here or in a service."""

    def run(self, command: str, arguments: dict[str, Any], progress: Progress) -> Any:
        """The command's result, JSON values only; RdmsError."""
