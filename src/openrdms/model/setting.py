"""Settings of the deployment: names and kinds of value."""

from __future__ import annotations

SettingValue = int | str | tuple[str, ...]

PRIMARY_CONNECTION = "DatabaseConnectionString"
SECONDARY_CONNECTION = "DatabaseSecondaryConnectionString"
CLIENT_ACCESS_NAME = "DeploymentRedirectorServer"
ACTIVE_SERVER = "ActiveServer"
