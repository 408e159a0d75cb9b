"""__Namespace, WMI's way to say what is below a namespace."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.providers.fixed_instances import FixedInstances
from openrdms.providers.service_provider import Where
from openrdms.providers.values import Values


class ChildNamespaces(FixedInstances):
    """The namespaces right below ``parent``, by the last part of their names."""

    cim_class = "__Namespace"

    def __init__(self, parent: str, names: Iterable[str]) -> None:
        split = (name.rpartition("/") for name in names)
        self._children = [child for above, _, child in split if above == parent]

    def do_list(self, where: Where) -> Iterable[Values]:
        return ({"Name": child} for child in self._children)
