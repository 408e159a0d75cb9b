"""Settings of the deployment: every known key, in words."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from openrdms.frontends.web.api.settings import read_settings
from openrdms.frontends.web.console.shell import PREFIX, show
from openrdms.frontends.web.visitors import Reader

CLASS = "Win32_RDMSDeploymentSettings"

WORDS: Mapping[str, str] = {
    "DeploymentGatewayUsage": "Gateway",
    "DeploymentGatewayName": "Name of the gateway",
    "DeploymentGatewayAuthMode": "Who connects proves himself to the gateway by",
    "DeploymentGatewayUseCachedCreds": "Same password for gateway and desktop",
    "DeploymentExternalGatewayName": "Name of the gateway from outside",
    "DeploymentRedirectorServer": "Name that clients connect to",
    "BaseVHDPath": "Directory of base disks",
    "DiffVHDPath": "Directory of desktops' disks",
    "ExportPath": "Directory of exports",
    "SMBPath": "Shared directory",
    "Shadow": "What staff may do with a user's screen; he is told",
}
"""What a key means, in English."""

USAGE: Mapping[int, str] = {0: "none", 1: "but for local clients", 2: "always", 3: "automatic"}
AUTHENTICATION: Mapping[int, str] = {0: "password", 1: "smart card", 4: "what he chooses then"}
SWITCH: Mapping[int, str] = {0: "no", 1: "yes"}
SHADOW: Mapping[int, str] = {0: "nothing", 4: "look", 2: "look and use it"}
CHOICES = (
    ("DeploymentGatewayUsage", USAGE),
    ("DeploymentGatewayAuthMode", AUTHENTICATION),
    ("DeploymentGatewayUseCachedCreds", SWITCH),
    ("Shadow", SHADOW),
)
"""What a number means."""

router = APIRouter(prefix=f"{PREFIX}/settings")


@router.get("")
def list_settings(request: Request, visitor: Reader) -> Response:
    """All that are known but the secret ones."""
    with visitor.watch(CLASS, "GetStringProperty"):
        settings = read_settings(visitor.backend)
        name = visitor.backend.deployment.client_access_name()
    return show(
        request,
        visitor,
        "settings.html",
        settings=settings,
        choices=dict(CHOICES),
        meanings=WORDS,
        client_access_name=name,
    )
