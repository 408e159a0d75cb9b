"""Win32_RDMSVirtualDesktop."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.model.host import VmState
from openrdms.model.session import CONNECT_STATES
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import Values, find_text, get_number, get_text, wanted_text
from openrdms.services.desktops import Desktops, VirtualDesktop
from openrdms.services.sessions import Sessions


class VirtualDesktopProvider(ServiceProvider):
    """Every VM of every host: desktops on record and strangers.

    To ask every guest who is logged on takes too long for a list of all desktops. SessionUserName
    and SessionState are what the guest said when sessions were last listed, within a minute; NULL
    means that nobody was seen, not that nobody is there: Win32_VirtualDesktopSession asks.
    """

    cim_class = "Win32_RDMSVirtualDesktop"

    def __init__(self, desktops: Desktops, sessions: Sessions) -> None:
        self._desktops = desktops
        self._sessions = sessions
        self.methods = {
            "GetVirtualDesktopDetails": self._get_details,
            "GetVirtualDesktopState": self._get_state,
            "SetVirtualDesktopState": self._set_state,
            "GetUserAssignment": self._get_user,
            "SetUserAssignment": self._set_user,
            "RemoveUserAssignment": self._remove_user,
            "GetVirtualDesktopAssignedToUser": self._get_assigned,
        }

    def do_list(self, where: Where) -> Iterable[Values]:
        name, collection = wanted_text(where, "Name"), wanted_text(where, "CollectionAlias")
        return map(
            self._render, self._desktops.list_desktops(name=name or "", collection=collection or "")
        )

    def do_get(self, keys: Values) -> Values:
        return self._render(self._desktops.get_desktop(get_text(keys, "Name")))

    def _get_details(self, call: Call) -> Values:
        """The hosts have no RemoteFX; the guest's system is known by family."""
        vm = self._desktops.get_vm(get_text(call.keys, "Name"))
        return {
            "RAMSizeInMB": vm.memory_mib,
            "RemoteFXEnabled": False,
            "OSVersion": vm.os.value,
        }

    def _get_state(self, call: Call) -> Values:
        return {"VMState": int(self._desktops.get_desktop(get_text(call.keys, "Name")).state)}

    def _set_state(self, call: Call) -> None:
        state = get_number(call.parameters, "VMState")
        self._desktops.set_state(get_text(call.keys, "Name"), state)

    def _get_user(self, call: Call) -> Values:
        user, domain = self._desktops.find_user(get_text(call.keys, "Name")) or (None, None)
        return {"UserName": user, "UserDomain": domain}

    def _set_user(self, call: Call) -> None:
        user = get_text(call.parameters, "UserName")
        domain = find_text(call.parameters, "UserDomain")
        self._desktops.assign_user(get_text(call.keys, "Name"), user, domain)

    def _remove_user(self, call: Call) -> None:
        self._desktops.unassign_user(get_text(call.parameters, "VMName"))

    def _get_assigned(self, call: Call) -> Values:
        """Clients take a non-empty VMName for "has one" (facts a.4)."""
        name = self._desktops.find_assigned(
            get_text(call.parameters, "CollectionAlias"),
            get_text(call.parameters, "UserName"),
            find_text(call.parameters, "UserDomain"),
        )
        return {"VMName": name or ""}

    def _render(self, desktop: VirtualDesktop) -> Values:
        running = desktop.state is VmState.RUNNING
        seen = self._sessions.last_seen(desktop.host, desktop.name) if running else None
        return {
            "Name": desktop.name,
            "HostName": desktop.host,
            "Status": int(desktop.status),
            "CollectionAlias": desktop.collection,
            "SessionState": CONNECT_STATES[seen.state] if seen else None,
            "SessionUserName": seen.user if seen else None,
            "UserName": desktop.user,
            "UserDomain": desktop.user_domain,
            "VMState": int(desktop.state),
        }
