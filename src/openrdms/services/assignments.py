"""Personal session desktops: who has which server of a collection."""

from __future__ import annotations

from openrdms import ports
from openrdms.model import errors
from openrdms.model.assignment import Assignment, AssignmentFilter, check_user


class Assignments:
    """Rules of Win32_RDMSDesktopAssignment. Names are compared ignoring case.

    Users of personal virtual desktops are those desktops' own (Win32_RDMSVirtualDesktop).
    """

    def __init__(self, store: ports.Store) -> None:
        self._store = store

    def list_assignments(self, wanted: AssignmentFilter) -> list[Assignment]:
        return self._store.list_assignments(wanted)

    def add(self, assignment: Assignment) -> Assignment:
        """Give a server to a user; returns the assignment with names as they are on record.

        InvalidParameter, NotFound, InvalidOperation, AlreadyExists: see ports.SessionHostStore.
        """
        _check_collection(assignment.collection)
        if not assignment.desktop:
            raise errors.InvalidParameter("DesktopName", "is empty")
        check_user(assignment.user, assignment.user_domain)
        return self._store.add_assignment(assignment)

    def remove(self, collection: str, *, desktop: str, user: str, user_domain: str) -> None:
        """Take away what matches; an empty desktop is any, and so is an empty user with domain.

        InvalidParameter when both are empty, or half of a user is: that could be everybody's.
        NotFound when nothing matches.
        """
        _check_collection(collection)
        if user or user_domain:
            check_user(user, user_domain)
        elif not desktop:
            raise errors.InvalidParameter("DesktopName", "is empty, and so is UserName")
        wanted = AssignmentFilter(collection, desktop or None, user or None, user_domain or None)
        if not self._store.remove_assignments(wanted):
            raise errors.NotFound(f"there is no such assignment in collection {collection!r}")


def _check_collection(alias: str) -> None:
    if not alias:
        raise errors.InvalidParameter("CollectionAlias", "is empty")
