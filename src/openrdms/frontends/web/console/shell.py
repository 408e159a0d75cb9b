"""What all pages of the console share: navigation, rights, and parts that are asked for alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from openrdms.frontends.web.console import words
from openrdms.frontends.web.pages import page
from openrdms.frontends.web.visitors import Visitor
from openrdms.model.display_ticket import Mode
from openrdms.security import policy

PREFIX = "/console"
COLLECTIONS = "Win32_RDMSVirtualDesktopCollection"
"""The class whose operations most pages are about."""
PART_HEADER = "x-part"
"""Id of the one region that a script wants anew (static/regions.js)."""


class Entry(NamedTuple):
    """A line of the navigation, for whom may do ``operation``."""

    path: str
    words: str
    icon: str
    class_name: str
    operation: str = "Enumerate"


ENTRIES = (
    Entry(PREFIX, "Overview", "overview", COLLECTIONS),
    Entry(f"{PREFIX}/collections", "Collections", "collection", COLLECTIONS),
    Entry(f"{PREFIX}/desktops", "Desktops", "desktop", "Win32_RDMSVirtualDesktop"),
    Entry(f"{PREFIX}/sessions", "Sessions", "session", "Win32_VirtualDesktopSession"),
    Entry(f"{PREFIX}/jobs", "Jobs", "job", COLLECTIONS, "ProvisioningEnumerateJobs"),
    Entry(f"{PREFIX}/hosts", "Hosts", "host", "OpenRDMS_Host"),
    Entry(f"{PREFIX}/images", "Images", "image", "OpenRDMS_Image"),
    Entry(f"{PREFIX}/audit", "Audit log", "audit", "OpenRDMS_AuditLog"),
    Entry(f"{PREFIX}/users", "Users", "user", "OpenRDMS_Account"),
    Entry(f"{PREFIX}/settings", "Settings", "settings", "Win32_RDMSDeploymentSettings"),
)


def may(visitor: Visitor, class_name: str, operation: str) -> bool:
    """Whether a button for it is shown; what is asked without one, ``watch`` refuses anyway."""
    return policy.decide(visitor.account.role, class_name, operation) is not policy.Right.DENIED


def find_looks(visitor: Visitor) -> dict[str, Any]:
    """What he may do with the screen of somebody who has a desktop, for templates."""
    rights = {"View": Mode.VIEW, "Control": Mode.CONTROL, "Screenshot": Mode.VIEW}
    permits = visitor.backend.display_tickets.permits
    return {
        f"may_{operation.lower()}": may(visitor, "OpenRDMS_Display", operation) and permits(mode)
        for operation, mode in rights.items()
    }


def find_entries(visitor: Visitor) -> list[Entry]:
    """The navigation of one visitor."""
    return [entry for entry in ENTRIES if may(visitor, entry.class_name, entry.operation)]


def wants(request: Request, region: str) -> bool:
    """Whether a region is to be in the answer: the whole page has them all."""
    return request.headers.get(PART_HEADER, region) == region


def show(
    request: Request,
    visitor: Visitor,
    template: str,
    *,
    position: str = "",
    below: str = "",
    **values: Any,
) -> Response:
    """A page of the console, or the part of it that was asked for.

    ``position`` is that of live changes, which a live page took before it read its data; ``below``
    the path of the entry that it belongs to, where its own does not tell.
    """
    here = below or request.url.path
    shown = find_entries(visitor)
    return page(
        request,
        f"console/{template}",
        visitor,
        position=position,
        layout=f"console/{'part' if PART_HEADER in request.headers else 'layout'}.html",
        entries=shown,
        current=max((e.path for e in shown if here.startswith(e.path)), key=len, default=""),
        may=lambda class_name, operation: may(visitor, class_name, operation),
        wants=lambda region: wants(request, region),
        shown_bytes=words.shown_bytes,
        words=words,
        **values,
    )
