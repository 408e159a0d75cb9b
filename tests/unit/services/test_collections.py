"""Rules of collections: instances, membership, properties."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakes.small_deployment import HOST1, HOST2, SmallDeployment, open_small_deployment
from openrdms.adapters import simulator
from openrdms.model import errors, farm_settings
from openrdms.model.collection import Collection, CollectionState, CollectionType, ReferenceDesktop
from openrdms.model.desktop_use import Use
from openrdms.model.host import Ownership, VmInfo
from openrdms.model.job import Job, JobAction, JobDesktop
from openrdms.model.publishing import MAX_ICON
from openrdms.model.session_host import SessionCollection
from openrdms.services.collections import Collections

GUID = "{00000000-0000-0000-0000-00000000000A}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SmallDeployment]:
    with open_small_deployment(tmp_path) as place:
        yield place


@pytest.fixture
def collections(place: SmallDeployment) -> Collections:
    return Collections(place.store, place.hosts, place.uses)


def make(**changes: Any) -> Collection:
    collection = Collection("farm", "The farm", CollectionType.POOLED, is_managed=True)
    return replace(collection, **changes)


def get_vm(place: SmallDeployment, name: str, host: str = HOST1) -> VmInfo:
    vm = place.hosts.get(host).find_vm(name)
    assert vm is not None
    return vm


# instances


def test_a_new_collection_gets_the_settings_that_clients_need(collections: Collections) -> None:
    collections.create(make())
    found = collections.get("FARM")
    assert found.vm_farm_settings == farm_settings.DEFAULT
    assert found.rollback_enabled
    assert collections.list_collections() == [found]


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("Alias", {"alias": ""}),
        ("Alias", {"alias": " farm"}),
        ("Name", {"name": "  "}),
        ("Alias", {"alias": "it's"}),
        ("Alias", {"alias": "a/b"}),
        ("Alias", {"alias": "a" * 257}),
        ("Name", {"name": "two\nlines"}),
        ("IsUserAdmin", {"is_user_admin": True}),
        ("IconContents", {"icon": bytes(MAX_ICON + 1)}),
        ("SecurityDescriptor", {"security_descriptor": ""}),
        ("SecurityDescriptor", {"security_descriptor": "O:WDG:WDD:ARP"}),
        ("SecurityDescriptor", {"security_descriptor": "O:WDG:WD"}),
        ("SecurityDescriptor", {"security_descriptor": "D:(A;;GA;;;DU)"}),
        ("VmFarmSettings", {"vm_farm_settings": "<Farm>"}),
        ("VmFarmSettings", {"vm_farm_settings": "<Farm />"}),
        (
            "VmFarmSettings",
            {"vm_farm_settings": '<Barn><Metadata Name="SaveDelay" Value="1"/></Barn>'},
        ),
        (
            "VmFarmSettings",
            {"vm_farm_settings": '<Farm><Metadata Name="SaveDelay" Value="-1"/></Farm>'},
        ),
    ],
)
def test_what_a_collection_cannot_be(
    collections: Collections, field: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        collections.create(make(**changes))
    assert caught.value.field == field
    assert collections.list_collections() == []


@pytest.mark.parametrize("before", CollectionType)
@pytest.mark.parametrize("after", CollectionType)
def test_the_type_changes_between_personal_ones_only(
    collections: Collections, before: CollectionType, after: CollectionType
) -> None:
    collections.create(make(type=before))
    if before is after or CollectionType.POOLED not in (before, after):
        collections.modify("farm", type=after)
        assert collections.get("farm").type is after
    else:
        with pytest.raises(errors.InvalidParameter, match="Type"):
            collections.modify("farm", type=after)


def test_a_collection_stays_managed(collections: Collections) -> None:
    collections.create(make())
    with pytest.raises(errors.InvalidParameter, match="IsManaged"):
        collections.modify("farm", is_managed=False)


def test_modifying_checks_as_creating_does(collections: Collections) -> None:
    collections.create(make())
    with pytest.raises(errors.InvalidParameter, match="IsUserAdmin"):
        collections.modify("farm", is_user_admin=True)
    with pytest.raises(errors.InvalidParameter, match="VmFarmSettings"):
        collections.modify("farm", vm_farm_settings=None)
    with pytest.raises(errors.NotFound):
        collections.modify("none", description="x")


def test_a_descriptor_is_kept_with_full_sids(collections: Collections) -> None:
    collections.create(make(security_descriptor="O:WDG:WDD:ARP(A;CIOI;CCLCSWLORCGR;;;BU)"))
    kept = "O:WDG:WDD:ARP(A;CIOI;CCLCSWLORCGR;;;S-1-5-32-545)"
    assert collections.get("farm").security_descriptor == kept
    collections.modify("farm", security_descriptor=None)
    assert collections.get("farm").security_descriptor is None


def with_profile_disks(share: str) -> dict[str, Any]:
    settings = (
        '<Farm><Metadata Name="SaveDelay" Value="1" />'
        '<Metadata Name="UvhdProfRoamingEnabled" Value="True" />'
        f'<Metadata Name="UvhdShareUrl" Value="{share}" /></Farm>'
    )
    disk = "<UVHDTemplateSetting><DiskSize>42949672960</DiskSize></UVHDTemplateSetting>"
    return {"vm_farm_settings": settings, "user_vhd_setting": disk}


def test_a_share_has_the_profile_disks_of_one_collection(
    place: SmallDeployment, collections: Collections
) -> None:
    collections.create(make(**with_profile_disks(r"\\files\Profiles")))
    taken = with_profile_disks("\\\\FILES\\profiles\\")
    with pytest.raises(errors.AlreadyExists, match="farm"):
        collections.create(make(alias="other", name="Other", **taken))
    collections.create(make(alias="other", name="Other"))
    with pytest.raises(errors.AlreadyExists, match="farm"):
        collections.modify("other", **taken)
    place.store.create_session_collection(SessionCollection("rdsh", "Session hosts"))
    with pytest.raises(errors.AlreadyExists, match="farm"):
        place.store.set_session_collection_value("rdsh", "UserVHDShare", r"\\files\profiles")
    collections.modify("farm", **with_profile_disks("/srv/profiles"))
    place.store.set_session_collection_value("rdsh", "UserVHDShare", r"\\files\profiles")
    with pytest.raises(errors.AlreadyExists, match="rdsh"):
        collections.modify("other", **taken)
    collections.modify("farm", vm_farm_settings=farm_settings.DEFAULT)
    collections.modify("other", **with_profile_disks("/srv/profiles"))


def test_names_are_unique_over_collections_of_both_kinds(
    place: SmallDeployment, collections: Collections
) -> None:
    place.store.create_session_collection(SessionCollection("rdsh", "Session hosts"))
    with pytest.raises(errors.AlreadyExists, match="Alias"):
        collections.create(make(alias="RDSH"))
    with pytest.raises(errors.AlreadyExists, match="Name"):
        collections.create(make(name="session HOSTS"))
    collections.create(make())
    with pytest.raises(errors.AlreadyExists, match="Name"):
        collections.modify("farm", name="Session Hosts")
    with pytest.raises(errors.AlreadyExists, match="Name"):
        place.store.create_session_collection(SessionCollection("other", "the FARM"))
    place.store.delete_session_collection("rdsh")
    collections.modify("farm", name="Session Hosts")


def test_changes_made_at_once_are_all_kept(collections: Collections) -> None:
    collections.create(make())
    changes = [{"description": "new"}, {"show_in_portal": False}, {"name": "Renamed"}]
    with ThreadPoolExecutor() as pool:
        for _ in range(10):
            for change in changes:
                pool.submit(collections.modify, "farm", **change)
    found = collections.get("farm")
    assert (found.description, found.show_in_portal, found.name) == ("new", False, "Renamed")


# membership


def test_a_stranger_is_adopted_and_let_go(place: SmallDeployment, collections: Collections) -> None:
    simulator.add_stranger(place.path, HOST2, "Debian")
    collections.create(make(is_managed=False))
    collections.add_virtual_desktop("FARM", "debian")
    record = place.store.find_desktop("debian")
    assert record is not None
    assert (record.name, record.host, record.collection) == ("Debian", HOST2, "farm")
    assert record.adopted
    ownership = get_vm(place, "Debian", HOST2).ownership
    assert ownership == Ownership("farm", "", "", adopted=True)
    collections.remove_virtual_desktop("farm", "DEBIAN")
    assert place.store.find_desktop("Debian") is None
    assert get_vm(place, "Debian", HOST2).ownership is None


def test_a_member_taken_out_is_found_by_home_and_comes_back(
    place: SmallDeployment, collections: Collections
) -> None:
    collections.create(make(type=CollectionType.MANUAL_PERSONAL))
    desktop = replace(place.make_desktop("vd-1", "farm"), user="ann", user_domain="d")
    place.store.put_desktops([desktop])
    collections.remove_virtual_desktop("farm", "vd-1")
    out = replace(desktop, collection="", user=None, user_domain=None)
    assert place.store.list_desktops(home="farm") == [out]
    assert get_vm(place, "vd-1").ownership is not None
    with pytest.raises(errors.InvalidOperation):
        collections.delete("farm")
    collections.add_virtual_desktop("farm", "vd-1")
    assert place.store.find_desktop("vd-1") == replace(out, collection="farm")


def test_whoever_had_a_desktop_that_comes_or_goes_has_it_no_more(
    place: SmallDeployment, collections: Collections
) -> None:
    """Listeners are told, who would else wait for its logoff."""
    told: list[tuple[str, Use, str]] = []
    place.uses.subscribe(lambda use: told.append((use.collection, use.use, use.holder)))
    collections.create(make())
    place.make_desktop("vd-1", "farm")
    place.uses.move(["vd-1"], Use.TAKEN, of=set(Use), holder="CORP\\ann")
    collections.remove_virtual_desktop("farm", "vd-1")
    place.uses.move(["vd-1"], Use.TAKEN, of=set(Use), holder="CORP\\bob")
    collections.add_virtual_desktop("farm", "vd-1")
    assert told == [
        ("farm", Use.TAKEN, "CORP\\ann"),
        ("", Use.UNREADY, ""),
        ("", Use.TAKEN, "CORP\\bob"),
        ("farm", Use.UNREADY, ""),
    ]


def test_a_former_member_in_work_by_a_job_does_not_join(
    place: SmallDeployment, collections: Collections
) -> None:
    collections.create(make())
    desktop = place.make_desktop("vd-1", "farm")
    collections.remove_virtual_desktop("farm", "vd-1")
    job = Job(GUID, "farm", JobAction.DELETE, CollectionState.UNKNOWN, "", {}, NOW, NOW)
    place.store.accept_job(job)
    row = JobDesktop(GUID, 0, "vd-1", HOST1, desktop.uuid, "", desktop.image, desktop.disk_kind, 1)
    place.store.add_job_desktops([row], None)
    with pytest.raises(errors.InvalidOperation, match="in work by job"):
        collections.add_virtual_desktop("farm", "vd-1")
    place.store.end_job(GUID, CollectionState.JOB_COMPLETED, "", NOW)
    collections.add_virtual_desktop("farm", "vd-1")


def test_removing_a_former_member_again_is_fine(
    place: SmallDeployment, collections: Collections
) -> None:
    simulator.add_stranger(place.path, HOST1, "debian")
    collections.create(make())
    place.make_desktop("vd-1", "farm")
    collections.add_virtual_desktop("farm", "debian")
    for _ in range(2):
        collections.remove_virtual_desktop("farm", "debian")
        collections.remove_virtual_desktop("farm", "vd-1")
    place.store.change_desktop("vd-1", lambda _: None)
    collections.remove_virtual_desktop("farm", "vd-1")


def test_removing_what_never_was_a_member(place: SmallDeployment, collections: Collections) -> None:
    simulator.add_stranger(place.path, HOST1, "debian")
    collections.create(make())
    with pytest.raises(errors.InvalidOperation, match="not a member"):
        collections.remove_virtual_desktop("farm", "debian")
    with pytest.raises(errors.NotFound, match="nobody"):
        collections.remove_virtual_desktop("farm", "nobody")


def test_a_vm_is_a_member_once(place: SmallDeployment, collections: Collections) -> None:
    simulator.add_stranger(place.path, HOST1, "debian")
    collections.create(make())
    collections.create(make(alias="other", name="Other"))
    collections.add_virtual_desktop("farm", "debian")
    with pytest.raises(errors.AlreadyExists):
        collections.add_virtual_desktop("farm", "debian")
    with pytest.raises(errors.InvalidOperation, match="'farm'"):
        collections.add_virtual_desktop("other", "debian")


def test_what_cannot_be_added(place: SmallDeployment, collections: Collections) -> None:
    collections.create(make())
    with pytest.raises(errors.NotFound, match="nobody"):
        collections.add_virtual_desktop("farm", "nobody")
    place.make_desktop("in-work", "farm")
    place.store.change_desktop("in-work", lambda _: None)
    with pytest.raises(errors.InvalidOperation, match="JOB"):
        collections.add_virtual_desktop("farm", "in-work")
    for host in (HOST1, HOST2):
        simulator.add_stranger(place.path, host, "twin")
    with pytest.raises(errors.InvalidParameter, match=f"{HOST1}, {HOST2}"):
        collections.add_virtual_desktop("farm", "twin")
    simulator.set_fault(place.path, HOST2, fault="down")
    with pytest.raises(errors.HostUnavailable, match=HOST2):
        collections.add_virtual_desktop("farm", "nobody")


@pytest.mark.parametrize(("managed", "home"), [(True, "second"), (False, "farm")])
def test_who_answers_for_a_desktop_that_moves(
    place: SmallDeployment, collections: Collections, *, managed: bool, home: str
) -> None:
    collections.create(make())
    collections.create(make(alias="second", name="Second", is_managed=managed))
    place.make_desktop("vd-1", "farm")
    collections.remove_virtual_desktop("farm", "vd-1")
    collections.add_virtual_desktop("second", "vd-1")
    record = place.store.find_desktop("vd-1")
    assert record is not None
    assert (record.collection, record.home) == ("second", home)


def test_deleting_an_unmanaged_collection_lets_strangers_go(
    place: SmallDeployment, collections: Collections
) -> None:
    simulator.add_stranger(place.path, HOST1, "debian")
    collections.create(make(is_managed=False))
    collections.add_virtual_desktop("farm", "debian")
    [let_go] = collections.plan_deletion("FARM").desktops
    assert (let_go.name, let_go.host, get_vm(place, "debian").maker) == ("debian", HOST1, "")
    assert get_vm(place, "debian").ownership is not None
    collections.delete("farm")
    assert get_vm(place, "debian").ownership is None
    assert place.store.list_desktops() == []
    assert collections.list_collections() == []


# properties


def test_state_and_job_are_read_from_the_collection(
    place: SmallDeployment, collections: Collections
) -> None:
    collections.create(make())
    assert collections.find_property("farm", "CollectionState") == 0
    assert collections.find_property("farm", "ProvisioningJobId") == ""
    state = CollectionState.CREATE_VIRTUAL_DESKTOP_INPROGRESS
    place.store.accept_job(Job(GUID, "farm", JobAction.CREATE, state, "", {}, NOW, NOW))
    assert collections.find_property("farm", "collectionstate") == 2
    assert collections.find_property("farm", "ProvisioningJobId") == GUID


@pytest.mark.parametrize("key", ["CollectionState", "PROVISIONINGJOBID"])
def test_what_only_the_service_writes(collections: Collections, key: str) -> None:
    collections.create(make())
    with pytest.raises(errors.InvalidOperation, match="read-only"):
        collections.set_property("farm", key, 10)


def test_other_keys_are_kept_as_given(collections: Collections) -> None:
    collections.create(make())
    assert collections.find_property("farm", "Unheard of") is None
    for value in ("", "some text", 7):
        collections.set_property("farm", "Unheard of", value)
        assert collections.find_property("farm", "UNHEARD OF") == value
    with pytest.raises(errors.InvalidParameter, match="Key"):
        collections.set_property("farm", "", 1)
    with pytest.raises(errors.NotFound):
        collections.set_property("none", "Unheard of", 1)


def test_no_export_is_in_progress_until_a_client_says_so(collections: Collections) -> None:
    collections.create(make())
    assert collections.find_property("farm", "exportinprogress") == ""
    collections.set_property("farm", "ExportInProgress", "gold")
    assert collections.find_property("farm", "ExportInProgress") == "gold"
    assert collections.find_property("farm", "MaxMonitors") is None
    with pytest.raises(errors.NotFound):
        collections.find_property("none", "ExportInProgress")


@pytest.mark.parametrize(
    ("key", "value", "field"),
    [
        ("MaxMonitors", "2", "Key"),
        ("exportinprogress", 1, "Key"),
        ("maxmonitors", 0, "Value"),
        ("MaxMonitors", 17, "Value"),
        ("DeviceRedirectionOptions", 512, "Value"),
        ("RedirectClientPrinter", -1, "Value"),
    ],
)
def test_known_keys_take_what_they_are_for(
    collections: Collections, key: str, value: int | str, field: str
) -> None:
    collections.create(make())
    before = collections.find_property("farm", key)
    with pytest.raises(errors.InvalidParameter) as refused:
        collections.set_property("farm", key, value)
    assert refused.value.field == field
    assert collections.find_property("farm", key) == before


def test_reference_and_provisioning_settings(collections: Collections) -> None:
    collections.create(make())
    assert collections.get_reference("farm") == ReferenceDesktop()
    collections.modify_reference("FARM", name="master")
    collections.modify_reference("FARM", ram_mib=1024)
    assert collections.get_reference("farm") == ReferenceDesktop(name="master", ram_mib=1024)
    with pytest.raises(errors.NotFound, match="Create"):
        collections.get_provisioning("farm")
    with pytest.raises(errors.NotFound):
        collections.modify_reference("none", name="master")
