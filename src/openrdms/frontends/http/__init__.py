"""HTTP/1.1 for the protocol servers: TLS, authentication bound to the connection, limits."""

from openrdms.frontends.http.authentication import Authentication
from openrdms.frontends.http.listeners import Endpoint, Listeners

__all__ = ["Authentication", "Endpoint", "Listeners"]
