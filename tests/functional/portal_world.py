"""A deployment as users meet it in the portal, with the simulator's hosts."""

from __future__ import annotations

from pathlib import Path

from functional.test_cli import Rdms
from live.service import Service
from openrdms.adapters import simulator

TIMES = "clone_ms=20&start_ms=20&boot_ms=100&agent_ms=10&destroy_ms=10&users=0"
SECRET = "quite a long password"


class PortalWorld:
    """Users ann, bob and cid; staff may use "Office" (one desktop) and bob "Design", too."""

    def __init__(self, service: Service) -> None:
        self.rdms = Rdms(service)
        self.service = service
        password = service.state_dir.parent / "users-password"
        password.write_text(SECRET + "\n")
        for name in ("ann", "bob", "cid", "dot"):
            role = ("--role", "user", "--password-file", str(password))
            group = () if name == "dot" else ("--group", "Staff")
            self.rdms.read("user", "add", name, *role, *group)

    def add_pool(self, name: str, allowed: str, *options: str, desktops: int = 1) -> None:
        """A collection, its alias and its desktops' prefix made of the name."""
        alias = name.casefold()
        made = ("--alias", alias, "--prefix", f"{alias}-", "--image", "image:tiny")
        size = ("--host", f"host1={desktops}", "--user-group", allowed)
        self.rdms.read("collection", "create", name, *made, *size, *options, "--wait")

    def publish(self, collection: str, name: str, icon: bytes, *options: str) -> None:
        """An application of a collection, which no longer offers its desktop then."""
        file = self.service.state_dir.parent / "icon"
        file.write_bytes(icon)
        path = f"/usr/bin/{name.casefold()}"
        made = ("application", "publish", collection, name, path, "--icon", str(file))
        self.rdms.read(*made, *options)

    def log_on(self, desktop: str, user: str) -> None:
        """Somebody logs on inside, as if he sat there."""
        simulator.log_on(self.rdms.cluster, "host1", desktop, user)

    def log_off(self, desktop: str, user: str) -> None:
        """He is done; his desktop is made fresh for others."""
        simulator.log_off(self.rdms.cluster, "host1", desktop, user)


def open_portal_world(path: Path) -> PortalWorld:
    """A service with "Office" for staff and "Design" for bob."""
    service = Service(path / "state", f"simulator://{path}/cluster?hosts=1&{TIMES}")
    service.start()
    world = PortalWorld(service)
    world.add_pool("Office", "Staff")
    world.add_pool("Design", "bob")
    return world
