"""The deployment as a whole: its brokers, the one that manages it, the name that clients use."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from openrdms import ports
from openrdms.model.host_name import check_full_name
from openrdms.model.member import Member
from openrdms.model.setting import ACTIVE_SERVER, CLIENT_ACCESS_NAME


class Deployment:
    """Rules of Win32_RDMSEnvironment. Every service is a broker, by the name of its machine."""

    def __init__(
        self, store: ports.Store, list_live: Callable[[], Sequence[Member]] = lambda: ()
    ) -> None:
        """``list_live`` are the services that live, the oldest first; none where one is alone."""
        self._store = store
        self._list_live = list_live
        self.own_name = socket.getfqdn()  # once: a name server may be slow

    def list_brokers(self) -> list[str]:
        """This one first; then the others that live, the oldest first. Each name once."""
        known = {self.own_name.casefold(): self.own_name}
        for member in self._list_live():
            known.setdefault(member.name.casefold(), member.name)
        return [*known.values()]

    def active_server(self) -> str:
        """The one broker that manages, whomever one asks; by the name that clients compare with.

        It is the one that was made so while that lives, else the oldest. All answer every call.
        """
        live = [member.name for member in self._list_live()]
        if not live:
            return self.own_name
        wanted = str(self._store.find_setting(ACTIVE_SERVER) or "").casefold()
        return next((name for name in live if name.casefold() == wanted), live[0])

    def activate(self) -> None:
        """Make this the managing broker, for as long as it lives and whenever it does."""
        self._store.change_setting(ACTIVE_SERVER, self.own_name)

    def client_access_name(self) -> str:
        """The name that clients are to connect to: this machine's own until one is set.

        It is the value of the deployment's key DeploymentRedirectorServer (facts b.2).
        """
        return str(self._store.find_setting(CLIENT_ACCESS_NAME) or self.own_name)

    def set_client_access_name(self, name: str) -> None:
        """InvalidParameter."""
        check_full_name("ClientAccessName", name)
        self._store.change_setting(CLIENT_ACCESS_NAME, name)
