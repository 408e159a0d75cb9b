"""RDP files for users: made of what a collection and the deployment say, signed when we can."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from openrdms.model import errors, rdp_file
from openrdms.model.publishing import CommandLine, Resource
from openrdms.model.rdp_file import Devices, Gateway, Redirection, RemoteApp, Target, Wishes
from openrdms.model.rdp_token import FILE_LIFE
from openrdms.model.setting import CLIENT_ACCESS_NAME
from openrdms.security.rdp_signature import RdpSigner
from openrdms.security.rdp_token import RdpTokens
from openrdms.services.access import Access, judge
from openrdms.services.collections import Collections
from openrdms.services.deployment import Deployment
from openrdms.services.publishing import Publishing
from openrdms.services.settings import Settings


@dataclass(frozen=True)
class Server:
    """The relay, as clients reach it: by one of ``names``, those of the web port's certificate."""

    names: Collection[str]
    port: int


@dataclass(frozen=True)
class RdpDocument:
    """A file and what it is called, without an extension."""

    title: str
    content: bytes


class RdpFiles:
    """Safe from any thread."""

    def __init__(
        self,
        access: Access,
        collections: Collections,
        publishing: Publishing,
        settings: Settings,
        deployment: Deployment,
        tokens: RdpTokens,
        server: Server,
        signer: RdpSigner | None,
    ) -> None:
        self._access = access
        self._collections = collections
        self._publishing = publishing
        self._settings = settings
        self._deployment = deployment
        self._tokens = tokens
        self._server = server
        self._signer = signer

    def make(
        self,
        account: str,
        collection: str,
        application: str = "",
        *,
        reached_by: str = "",
        life: timedelta = FILE_LIFE,
    ) -> RdpDocument:
        """A file that leads an account to its desktop, or to an application on it.

        ``reached_by`` is the name that the client has just reached this machine by: it is taken
        only if it is one of ours, for what we sign must lead to us. Good for ``life``.
        NotFound; AccessDenied; InvalidParameter for a setting that no file can hold.
        """
        found = self._collections.get(collection)
        remote_app = self._find_application(account, found.alias, application)
        title = remote_app.name if remote_app else found.name
        target = Target(
            address=self._address(reached_by),
            port=self._server.port,
            user=account,
            routing_token=self._tokens.issue(account, found.alias, life),
            title=title,
        )
        settings = rdp_file.compose(target, self._wishes(found.alias), remote_app)
        if self._signer:
            settings = self._signer.sign(settings)
        return RdpDocument(title, rdp_file.encode(rdp_file.render(settings)))

    def _address(self, reached_by: str) -> str:
        if self._settings.find(CLIENT_ACCESS_NAME) or reached_by not in self._server.names:
            return self._deployment.client_access_name()
        return reached_by

    def _find_application(self, account: str, collection: str, alias: str) -> RemoteApp | None:
        """None for the desktop itself."""
        person = self._access.get_person(account)
        if not self._access.may_use(collection, person).allowed:
            raise errors.AccessDenied(f"{account} may not use collection {collection!r}")
        if not alias:
            return None
        application = self._publishing.get_application(collection, alias)
        resource = self._find_resource(collection, alias)
        if not judge(resource.descriptors, person).allowed:
            raise errors.AccessDenied(f"{account} may not use application {alias!r}")
        given = application.command_line_setting is CommandLine.REQUIRE
        return RemoteApp(
            name=application.name,
            program=application.virtual_path,
            arguments=application.required_command_line if given else None,
            file_extensions=resource.file_types,
        )

    def _find_resource(self, collection: str, application: str) -> Resource:
        key = (collection.casefold(), application.casefold())
        for one in self._publishing.list_resources().resources:
            if (one.collection.casefold(), one.application.casefold()) == key:
                return one
        raise errors.NotFound(f"{application!r} is not published")

    def _wishes(self, alias: str) -> Wishes:
        devices = Devices(
            Redirection(self._number(alias, "DeviceRedirectionOptions", 0)),
            monitors=self._number(alias, "MaxMonitors", 1),
            printer=bool(self._number(alias, "RedirectClientPrinter", 0)),
        )
        custom = self._collections.find_property(alias, "CustomRdpProperty")
        return Wishes(devices, self._gateway(), custom if isinstance(custom, str) else "")

    def _number(self, alias: str, key: str, unset: int) -> int:
        value = self._collections.find_property(alias, key)
        return value if isinstance(value, int) else unset

    def _gateway(self) -> Gateway:
        def find(key: str) -> str:
            return str(self._settings.find(f"Deployment{key}") or "")

        return Gateway(
            usage=int(find("GatewayUsage") or 0),
            name=find("GatewayName") or find("ExternalGatewayName"),
            auth_mode=int(find("GatewayAuthMode") or 0),
            cached_credentials=find("GatewayUseCachedCreds") == "1",
        )
