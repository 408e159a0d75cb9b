"""The deployment as a whole: the broker that manages it, and the name that clients use."""

from __future__ import annotations

import socket

from openrdms import ports
from openrdms.model.host_name import check_full_name
from openrdms.model.setting import ACTIVE_SERVER, CLIENT_ACCESS_NAME


class Deployment:
    """Rules of Win32_RDMSEnvironment. The only broker so far is this machine."""

    def __init__(self, store: ports.Store) -> None:
        self._store = store
        self._own_name = socket.getfqdn()  # once: a name server may be slow

    def active_server(self) -> str:
        """The broker that manages: this machine, by the name that clients compare with."""
        return self._own_name

    def activate(self) -> None:
        """Make this the managing broker. It is so already; that it was asked for is recorded."""
        self._store.change_setting(ACTIVE_SERVER, self._own_name)

    def client_access_name(self) -> str:
        """The name that clients are to connect to: this machine's own until one is set.

        It is the value of the deployment's key DeploymentRedirectorServer (facts b.2).
        """
        return str(self._store.find_setting(CLIENT_ACCESS_NAME) or self._own_name)

    def set_client_access_name(self, name: str) -> None:
        """InvalidParameter."""
        check_full_name("ClientAccessName", name)
        self._store.change_setting(CLIENT_ACCESS_NAME, name)
