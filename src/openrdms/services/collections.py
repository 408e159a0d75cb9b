"""Virtual desktop collections: instances, membership, properties."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from openrdms import ports
from openrdms.model import errors, farm_settings, sddl
from openrdms.model.collection import (
    Collection,
    CollectionType,
    ProvisioningSettings,
    ReferenceDesktop,
    check_names,
)
from openrdms.model.desktop import Desktop, DesktopStatus
from openrdms.model.host import DiskKind, Ownership
from openrdms.model.plan import Plan, PlannedChange, PlannedDesktop
from openrdms.model.property_keys import VIRTUAL_DESKTOP_COLLECTION
from openrdms.model.publishing import check_icon
from openrdms.model.reason import ReasonCode
from openrdms.services import desktops
from openrdms.services.desktop_uses import DesktopUses
from openrdms.services.hosts import Hosts

_ROW_KEYS: dict[str, Callable[[Collection], int | str]] = {
    "CollectionState": lambda collection: int(collection.state),
    "ProvisioningJobId": lambda collection: collection.job_guid,
}
"""Properties that are read from the collection itself (facts b.1) and never written."""

_UNSET = {"ExportInProgress": ""}
"""What keys have that were never set; the others are an error to read (facts 0.8, b.1)."""


class Collections:
    """Rules of Win32_RDMSVirtualDesktopCollection. Names are compared ignoring case."""

    def __init__(self, store: ports.Store, hosts: Hosts, uses: DesktopUses) -> None:
        self._store = store
        self._hosts = hosts
        self._uses = uses
        # A VM is told of its membership before the record is: one change at a time.
        self._membership = threading.Lock()
        self._listeners: list[Callable[[str], None]] = []

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Tell it the alias of every collection whose settings or members have changed."""
        self._listeners.append(listener)

    def _tell(self, alias: str, moved: Iterable[str] = ()) -> None:
        """``moved`` are desktops that came or went, whoever had one has it no more; or that are
        reset from now on, and as ready as they were no more.
        """
        self._uses.announce(moved)
        for listener in self._listeners:
            listener(alias)

    def list_collections(self) -> list[Collection]:
        return self._store.list_collections()

    def get(self, alias: str) -> Collection:
        """NotFound."""
        collection = self._store.find_collection(alias)
        if collection is None:
            raise errors.NotFound(f"there is no collection {alias!r}")
        return collection

    def create(self, collection: Collection) -> None:
        """Make the collection; settings left out get their defaults.

        InvalidParameter; AlreadyExists when the alias or the name is taken.
        """
        if collection.vm_farm_settings is None:
            collection = replace(collection, vm_farm_settings=farm_settings.DEFAULT)
        self._store.create_collection(_accept(collection))

    def modify(self, alias: str, **changes: Any) -> None:
        """Change fields of model.collection.Collection by name.

        The type may change between the personal ones only. InvalidParameter, NotFound,
        AlreadyExists.
        """

        def change(before: Collection) -> Collection:
            return _accept_change(before, replace(before, **changes))

        self._tell(alias, self._store.change_collection(alias, change))

    def delete(self, alias: str) -> None:
        """Remove the collection; members of an unmanaged one are let go.

        InvalidOperation when a job runs or a managed collection has desktops (those taken out
        but not deleted count too); NotFound.
        """
        with self._membership:
            collection = self.get(alias)
            members = [] if collection.is_managed else self._store.list_desktops(alias)
            for member in members:
                self._forget(member)
            self._store.delete_collection(alias)
        self._uses.announce(member.name for member in members)

    def plan_deletion(self, alias: str) -> Plan:
        """What ``delete`` would do now, and refuses; nothing changes."""
        collection = self.get(alias)
        self._store.check_deletion(alias)
        members = [] if collection.is_managed else self._store.list_desktops(alias)
        for member in members:
            self._find_adopted(member)
        return Plan(
            collection=collection.alias,
            action=PlannedChange.REMOVE,
            seconds=0,
            basis="records alone change",
            desktops=tuple(
                PlannedDesktop(one.name, one.host, ReasonCode.AS_ASKED, note="is let go, and stays")
                for one in members
            ),
        )

    def add_virtual_desktop(self, alias: str, vm: str) -> None:
        """Make a VM a member. A stranger is adopted, a former member comes back.

        NotFound without the VM; AlreadyExists when it is a member here, InvalidOperation when
        it is elsewhere, in the hands of a job or on a host that was unjoined.
        """
        with self._membership:
            collection = self.get(alias)
            record = self._store.find_desktop(vm)
            if record is None:
                self._adopt(collection, vm)
            else:
                self._rejoin(collection, record)
        self._tell(collection.alias, [vm])

    def remove_virtual_desktop(self, alias: str, vm: str) -> None:
        """Take membership, and nothing else: a Delete job still finds what was made here.

        A former member is fine. InvalidOperation when it never was one; NotFound without the VM.
        """
        with self._membership:
            collection = self.get(alias)
            record = self._store.find_desktop(vm)
            if record and desktops.is_member(record, collection.alias):
                self._forget(record)
                self._store.change_desktop(vm, _without_membership)
            elif not self._store.was_member(alias, vm):
                self._refuse_removal(collection, record, vm)
        self._tell(collection.alias, [vm])

    def find_property(self, alias: str, key: str) -> int | str | None:
        """The value of a property key, None when it was never set. NotFound: no collection."""
        known = VIRTUAL_DESKTOP_COLLECTION.find(key)
        name = known.name if known else key
        if name in _ROW_KEYS:
            return _ROW_KEYS[name](self.get(alias))
        value = self._store.get_property(alias, key)
        return _UNSET.get(name) if value is None else value

    def set_property(self, alias: str, key: str, value: int | str) -> None:
        """InvalidParameter naming Key or Value; InvalidOperation for keys that we write."""
        self.get(alias)
        accepted = VIRTUAL_DESKTOP_COLLECTION.accept_change(key, value)
        self._store.set_property(alias, key, accepted)

    def get_provisioning(self, alias: str) -> ProvisioningSettings:
        """What the collection's jobs have stored. NotFound before the first Create job."""
        settings = self._store.find_provisioning(self.get(alias).alias)
        if settings is None:
            raise errors.NotFound(f"collection {alias!r} has had no Create job")
        return settings

    def find_provisioning(self, alias: str) -> ProvisioningSettings | None:
        """The same, None before."""
        return self._store.find_provisioning(alias)

    def get_reference(self, alias: str) -> ReferenceDesktop:
        return self._store.find_reference(self.get(alias).alias) or ReferenceDesktop()

    def modify_reference(self, alias: str, **changes: Any) -> None:
        """Change fields of model.collection.ReferenceDesktop by name."""
        self._store.change_reference(alias, lambda before: replace(before, **changes))

    def _adopt(self, collection: Collection, name: str) -> None:
        found = desktops.locate_vm(self._hosts, name)
        if found is None:
            raise errors.NotFound(f"VMName: no host has a VM called {name!r}")
        host, vm = found
        if vm.ownership and not vm.ownership.adopted:
            raise errors.InvalidOperation(f"VM {vm.name} is in the hands of job {vm.ownership.job}")
        # Metadata first: an adopted VM without a record is harmless and can be added again.
        host.set_ownership(vm.name, Ownership(collection.alias, job="", image="", adopted=True))
        record = Desktop(
            name=vm.name,
            host=host.name,
            uuid=vm.uuid,
            mac="",
            collection=collection.alias,
            home="",
            image="",
            disk_kind=DiskKind.FULL,
            generation=0,
            status=DesktopStatus.SUCCESS,
        )
        self._store.put_desktops([record])

    def _rejoin(self, collection: Collection, record: Desktop) -> None:
        if desktops.is_member(record, collection.alias):
            raise errors.AlreadyExists(f"{record.name} is a member of {collection.alias!r} already")
        if record.collection:
            raise errors.InvalidOperation(f"{record.name} is a member of {record.collection!r}")
        if self._hosts.get(record.host).find_vm(record.name) is None:
            raise errors.NotFound(f"host {record.host} has no VM called {record.name!r}")
        # A collection that runs jobs answers from now on for what another one has made.
        home = collection.alias if collection.is_managed else record.home

        def join(present: Desktop | None) -> Desktop | None:
            return present and replace(present, collection=collection.alias, home=home)

        # A Delete that is under way must not take a desktop from the collection it joins.
        self._store.change_desktop(record.name, join, idle=True)

    def _forget(self, member: Desktop) -> None:
        """Make an adopted VM a stranger again, if it is still there."""
        host = self._find_adopted(member)
        if host:
            host.set_ownership(member.name, None)

    def _find_adopted(self, member: Desktop) -> ports.Host | None:
        """Where that VM is, if it was adopted and is still there. HostUnavailable."""
        host = self._hosts.find(member.host)
        if not member.adopted or host is None:
            return None
        vm = host.find_vm(member.name)
        return host if vm and vm.uuid == member.uuid else None

    def _refuse_removal(self, collection: Collection, record: Desktop | None, vm: str) -> None:
        if record is None and desktops.locate_vm(self._hosts, vm) is None:
            raise errors.NotFound(f"VMName: no host has a VM called {vm!r}")
        raise errors.InvalidOperation(f"{vm} is not a member of {collection.alias!r}")


def _without_membership(record: Desktop | None) -> Desktop | None:
    if record is None or record.adopted:
        return None
    return replace(record, collection="", user=None, user_domain=None)


def _accept_change(before: Collection, after: Collection) -> Collection:
    if before.is_managed != after.is_managed:
        raise errors.InvalidParameter("IsManaged", "cannot be changed")
    if before.type is not after.type and CollectionType.POOLED in (before.type, after.type):
        raise errors.InvalidParameter("Type", "changes between 2 and 3 only")
    return _accept(after)


def _accept(collection: Collection) -> Collection:
    """The collection as it is kept. InvalidParameter."""
    check_names(collection.alias, collection.name)
    if collection.is_user_admin and collection.type is CollectionType.POOLED:
        raise errors.InvalidParameter("IsUserAdmin", "is for personal collections only")
    if collection.vm_farm_settings is None:
        raise errors.InvalidParameter("VmFarmSettings", "cannot be removed")
    farm_settings.check_profile_disks(collection.vm_farm_settings, collection.user_vhd_setting)
    check_icon(collection.icon)
    if collection.security_descriptor is None:
        return collection
    try:
        descriptor = sddl.normalise_groups(collection.security_descriptor)
    except sddl.SddlError as error:
        raise errors.InvalidParameter("SecurityDescriptor", str(error)) from error
    return replace(collection, security_descriptor=descriptor)
