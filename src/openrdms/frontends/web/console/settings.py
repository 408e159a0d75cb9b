"""Settings of the deployment: every known key, in words."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import Response

from openrdms.frontends.web.api.settings import read_settings
from openrdms.frontends.web.console.shell import PREFIX, show
from openrdms.frontends.web.visitors import Reader
from openrdms.model.property_keys import DEPLOYMENT

CLASS = "Win32_RDMSDeploymentSettings"

WORDS: Mapping[str, str] = {
    "DeploymentGatewayUsage": "Gateway: 0 is none, 1 always, 2 for who is outside, 3 as found",
    "DeploymentGatewayName": "Name of the gateway",
    "DeploymentGatewayAuthMode": "Gateway signs in with: 0 password, 1 smart card, 4 either",
    "DeploymentGatewayUseCachedCreds": "Gateway uses the desktop's password: 0 no, 1 yes",
    "DeploymentExternalGatewayName": "Name of the gateway from outside",
    "DeploymentRedirectorServer": "Name that clients connect to",
    "BaseVHDPath": "Directory of base disks",
    "DiffVHDPath": "Directory of desktops' disks",
    "ExportPath": "Directory of exports",
    "SMBPath": "Shared directory",
}
"""What a key means, in English."""

router = APIRouter(prefix=f"{PREFIX}/settings")


@router.get("")
def list_settings(request: Request, visitor: Reader) -> Response:
    """All that are known but the secret ones."""
    with visitor.watch(CLASS, "GetStringProperty"):
        settings = read_settings(visitor.backend)
        name = visitor.backend.deployment.client_access_name()
    numbers = {one.key for one in settings if (key := DEPLOYMENT.find(one.key)) and key.kind is int}
    return show(
        request,
        visitor,
        "settings.html",
        settings=settings,
        numbers=numbers,
        meanings=WORDS,
        client_access_name=name,
    )
