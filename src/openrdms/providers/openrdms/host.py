"""OpenRDMS_Host."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import Values, find_number, get_text
from openrdms.services.host_states import HostState, HostStates


class HostProvider(ServiceProvider):
    """Every hypervisor host, and what an administrator sets for it."""

    cim_class = "OpenRDMS_Host"

    def __init__(self, hosts: HostStates) -> None:
        self._hosts = hosts
        self.methods = {
            "SetConcurrencyFactor": self._set_concurrency,
            "SetIdleVmCount": self._set_idle_count,
            "SetDrain": self._set_drain,
        }

    def do_list(self, where: Where) -> Iterable[Values]:
        return map(_render, self._hosts.list())

    def do_get(self, keys: Values) -> Values:
        return _render(self._hosts.get(get_text(keys, "Name")))

    def _set_concurrency(self, call: Call) -> None:
        factor = find_number(call.parameters, "ConcurrencyFactor")
        self._hosts.set_concurrency(get_text(call.keys, "Name"), factor)

    def _set_idle_count(self, call: Call) -> None:
        count = find_number(call.parameters, "IdleVmCount")
        self._hosts.set_idle_count(get_text(call.keys, "Name"), count)

    def _set_drain(self, call: Call) -> None:
        self._hosts.set_drain(get_text(call.keys, "Name"), call.parameters["Drain"] is True)


def _render(state: HostState) -> Values:
    return {
        "Name": state.info.name,
        "Reachable": state.info.reachable,
        "Degraded": state.degraded,
        "Reason": state.reason,
        "Accelerator": state.info.accelerator,
        "Capacity": state.info.capacity,
        "Desktops": state.desktops,
        "MemoryMiB": state.info.memory_mib,
        "UsedMemoryMiB": state.info.used_mib,
        "FreeBytes": state.info.free_bytes,
        "ConcurrencyFactor": state.settings.concurrency,
        "IdleVmCount": state.settings.idle_count,
        "Drain": state.settings.drain,
    }
