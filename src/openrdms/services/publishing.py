"""Published applications, their file types, and the feed of what users may open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from openrdms import ports
from openrdms.model import errors
from openrdms.model.publishing import (
    Application,
    FileType,
    Resource,
    accept_application,
    check_file_type,
)
from openrdms.services.access import Person, judge


@dataclass(frozen=True)
class Feed:
    """What somebody sees; ``modified`` is the newest change of it, None when it is empty."""

    resources: Sequence[Resource]
    modified: datetime | None


class Publishing:
    """Rules of Win32_RDMSPublishedApplication, …FileTypeAssociation and …ManagementData.

    The store keeps the feed: each change of what it is made of makes it anew in the same
    transaction, and Synchronize… whenever it is asked for.
    """

    def __init__(self, store: ports.Store) -> None:
        self._store = store

    def list_applications(self, collection: str | None = None) -> list[Application]:
        """All, or those of a collection."""
        return self._store.list_applications(collection)

    def get_application(self, collection: str, alias: str) -> Application:
        """NotFound."""
        found = self._store.find_application(collection, alias)
        if found is None:
            raise errors.NotFound(f"collection {collection!r} publishes no application {alias!r}")
        return found

    def publish(self, application: Application) -> Application:
        """Returns what is kept. InvalidParameter, also without the collection; AlreadyExists."""
        return self._store.create_application(accept_application(application))

    def modify_application(self, collection: str, alias: str, **changes: Any) -> None:
        """Change fields of model.publishing.Application by name. NotFound, InvalidParameter."""
        self._store.change_application(
            collection, alias, lambda before: accept_application(replace(before, **changes))
        )

    def withdraw(self, collection: str, alias: str) -> None:
        """Remove an application and its file types. NotFound."""
        self._store.delete_application(collection, alias)

    def list_file_types(
        self, collection: str | None = None, application: str | None = None
    ) -> list[FileType]:
        """All, or those of a collection or an application."""
        return self._store.list_file_types(collection, application)

    def get_file_type(self, collection: str, application: str, extension: str) -> FileType:
        """NotFound."""
        found = self._store.find_file_type(collection, application, extension)
        if found is None:
            raise errors.NotFound(f"application {application!r} has no file type {extension!r}")
        return found

    def add_file_type(self, file_type: FileType) -> FileType:
        """Returns what is kept. InvalidParameter, also without the application; AlreadyExists."""
        check_file_type(file_type)
        return self._store.create_file_type(file_type)

    def modify_file_type(
        self, collection: str, application: str, extension: str, **changes: Any
    ) -> None:
        """Change fields of model.publishing.FileType by name. NotFound, InvalidParameter."""

        def change(before: FileType) -> FileType:
            after = replace(before, **changes)
            check_file_type(after)
            return after

        self._store.change_file_type(collection, application, extension, change)

    def remove_file_type(self, collection: str, application: str, extension: str) -> None:
        """NotFound."""
        self._store.delete_file_type(collection, application, extension)

    def synchronize(self, collection: str = "") -> None:
        """Make the feed anew, of one collection or of all. NotFound."""
        self._store.rebuild_feed(collection or None)

    def list_resources(self) -> Feed:
        """The whole feed, with what is not shown."""
        return _make_feed(self._store.list_feed())

    def list_feed(self, person: Person) -> Feed:
        """What somebody may see and open."""
        shown = [one for one in self._store.list_feed() if one.show]
        return _make_feed([one for one in shown if judge(one.descriptors, person).allowed])


def _make_feed(resources: Sequence[Resource]) -> Feed:
    return Feed(resources, max((one.modified for one in resources), default=None))
