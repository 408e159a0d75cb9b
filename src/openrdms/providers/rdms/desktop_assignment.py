"""Win32_RDMSDesktopAssignment: users of personal session desktops."""

from __future__ import annotations

from collections.abc import Iterable

from openrdms.model import errors
from openrdms.model.assignment import Assignment, AssignmentFilter
from openrdms.providers.service_provider import Call, ServiceProvider, Where
from openrdms.providers.values import Values, find_text, get_text, wanted_text
from openrdms.services.assignments import Assignments

_FIELDS = {
    "CollectionAlias": "collection",
    "DesktopName": "desktop",
    "UserName": "user",
    "UserDomain": "user_domain",
}


class DesktopAssignment(ServiceProvider):
    """Every property is a key: an instance is made or removed, never changed."""

    cim_class = "Win32_RDMSDesktopAssignment"

    def __init__(self, assignments: Assignments) -> None:
        self._assignments = assignments
        self.methods = {
            "AddDesktopAssignment": self._add,
            "RemoveDesktopAssignment": self._remove,
        }

    def do_list(self, where: Where) -> Iterable[Values]:
        wanted = {field: wanted_text(where, name) for name, field in _FIELDS.items()}
        return map(_render, self._assignments.list_assignments(AssignmentFilter(**wanted)))

    def do_get(self, keys: Values) -> Values:
        for found in self.do_list({name: get_text(keys, name) for name in keys}):
            return found
        raise errors.NotFound("there is no such assignment")

    def do_create(self, properties: Values) -> Values:
        given = dict.fromkeys(_FIELDS) | dict(properties)
        return _render(self._assignments.add(_parse(given)))

    def do_modify(self, keys: Values, changes: Values) -> None:
        self.do_get(keys)

    def do_delete(self, keys: Values) -> None:
        self.do_get(keys)
        self._remove(Call({}, keys))

    def _add(self, call: Call) -> None:
        self._assignments.add(_parse(call.parameters))

    def _remove(self, call: Call) -> None:
        """An empty or NULL desktop or user is any (facts a.4)."""
        given = call.parameters
        self._assignments.remove(
            get_text(given, "CollectionAlias"),
            desktop=find_text(given, "DesktopName"),
            user=find_text(given, "UserName"),
            user_domain=find_text(given, "UserDomain"),
        )


def _parse(given: Values) -> Assignment:
    return Assignment(**{field: get_text(given, name) for name, field in _FIELDS.items()})


def _render(assignment: Assignment) -> Values:
    return {name: getattr(assignment, field) for name, field in _FIELDS.items()}
