"""RDP files for users: made of what a collection and the deployment say, signed when we can."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from openrdms.model import errors, rdp_file
from openrdms.model.publishing import CommandLine, Resource
from openrdms.model.rdp_file import Devices, Gateway, Redirection, RemoteApp, Target, Wishes
from openrdms.model.rdp_token import FILE_LIFE
from openrdms.security.rdp_signature import RdpSigner
from openrdms.services.access import Access, judge
from openrdms.services.publishing import Publishing
from openrdms.services.rdp_places import Place, RdpPlaces
from openrdms.services.settings import Settings


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
        publishing: Publishing,
        settings: Settings,
        places: RdpPlaces,
        signer: RdpSigner | None,
    ) -> None:
        self._access = access
        self._publishing = publishing
        self._settings = settings
        self._places = places
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
        NotFound; AccessDenied; InvalidOperation; InvalidParameter for a setting that no file can
        hold.
        """
        remote_app = self._find_application(account, collection, application)
        place = self._places.find(account, collection, reached_by, life)
        title = remote_app.name if remote_app else place.name
        target = Target(
            address=place.address,
            port=place.port,
            user=account,
            routing_token=place.routing_token,
            title=title,
        )
        settings = rdp_file.compose(target, self._wishes(place), remote_app)
        if self._signer:
            settings = self._signer.sign(settings)
        return RdpDocument(title, rdp_file.encode(rdp_file.render(settings)))

    def revoke(self, account: str) -> None:
        """Nobody comes to a desktop by a file that was made for the account before."""
        self._places.forget(account)

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

    def _wishes(self, place: Place) -> Wishes:
        devices = Devices(
            Redirection(_number(place, "DeviceRedirectionOptions", 0)),
            monitors=_number(place, "MaxMonitors", 1),
            printer=bool(_number(place, "RedirectClientPrinter", 0)),
        )
        custom = place.find_property("CustomRdpProperty")
        return Wishes(devices, self._gateway(), custom if isinstance(custom, str) else "")

    def _gateway(self) -> Gateway:
        def find(key: str) -> str:
            return str(self._settings.find(f"Deployment{key}") or "")

        return Gateway(
            usage=int(find("GatewayUsage") or 0),
            name=find("GatewayName") or find("ExternalGatewayName"),
            auth_mode=int(find("GatewayAuthMode") or 0),
            cached_credentials=find("GatewayUseCachedCreds") == "1",
        )


def _number(place: Place, key: str, unset: int) -> int:
    value = place.find_property(key)
    return value if isinstance(value, int) else unset
