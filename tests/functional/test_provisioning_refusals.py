"""What is not accepted, and by which error; nothing of it leaves a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.provisioning_rig import FAST, POOL, Rig, create, later
from openrdms.adapters import simulator
from openrdms.model import errors
from openrdms.model.collection import CollectionState, CollectionType
from openrdms.model.host import DiskKind
from openrdms.model.job import JobAction
from openrdms.model.provisioning import JobDocument


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Pool has two desktops, Own is personal and empty, Loose is not managed."""
    parameters = FAST.replace("hosts=3", "hosts=2&capacity=5")
    rig = Rig(tmp_path_factory.mktemp("refusals"), parameters).resume()
    rig.add_collection()
    rig.add_collection("Own", CollectionType.AUTO_PERSONAL)
    rig.add_collection("Empty")
    rig.add_collection("Loose", managed=False)
    rig.run(create())
    yield rig
    rig.close()


def other(**fields: Any) -> JobDocument:
    """A Create of the collection that has none yet."""
    return create(**({"collection": "Empty", "name_prefix": "e-"} | fields))


PARAMETER = errors.InvalidParameter
OPERATION = errors.InvalidOperation

REFUSED = {
    "alias": (other(collection="Nobody"), errors.NotFound, "Nobody"),
    "not managed": (other(collection="Loose"), OPERATION, "not managed"),
    "host": (other(hosts=[("host9", 1)]), errors.NotFound, "host9"),
    "prefix of another": (other(name_prefix="POOL-"), PARAMETER, "NamingPrefix"),
    "name too long": (other(name_prefix="n" * 63), PARAMETER, "NamingPrefix"),
    "room on a host": (other(hosts=[("host1", 4)]), PARAMETER, "NumberVms"),
    "room anywhere": (other(hosts=[("", 9)]), PARAMETER, "NumberVms"),
    "image": (other(base_vm_location="image:none"), errors.NotFound, "BaseVmLocation"),
    "image version": (other(base_vm_location="image:tiny@9"), errors.NotFound, "BaseVmLocation"),
    "image file": (other(base_vm_location="/no/file"), PARAMETER, "BaseVmLocation"),
    "pooled clone": (other(disk_kind=DiskKind.FULL), PARAMETER, "VhdType"),
    "personal overlay": (other(collection="Own"), PARAMETER, "VhdType"),
    "update before create": (later(JobAction.UPDATE, collection="Empty"), OPERATION, "Create"),
    "update's prefix": (later(JobAction.UPDATE, name_prefix="x-"), PARAMETER, "NamingPrefix"),
    "patch of personal": (
        later(JobAction.PATCH, collection="Own", disk_kind=DiskKind.FULL),
        OPERATION,
        "Type 1",
    ),
    "patch to clones": (later(JobAction.PATCH, disk_kind=DiskKind.FULL), PARAMETER, "VhdType"),
    "delete of unknown": (later(JobAction.DELETE, "pool-1", "pool-9"), errors.NotFound, "pool-9"),
    "patch of unknown": (later(JobAction.PATCH, "nobody"), errors.NotFound, "nobody"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_and_nothing_changed(rig: Rig, case: str) -> None:
    document, error, words = REFUSED[case]
    before = (rig.store.list_jobs(running=False), rig.store.list_collections())
    with pytest.raises(error, match=words):
        rig.execute(document)
    assert (rig.store.list_jobs(running=False), rig.store.list_collections()) == before
    assert rig.store.list_jobs(running=True) == []
    assert rig.store.find_provisioning("Empty") is None


def test_silent_host_is_not_available(rig: Rig) -> None:
    simulator.set_fault(rig.simulator, "host2.sim.local", fault="down")
    with pytest.raises(errors.HostUnavailable, match="host2"):
        rig.execute(other(hosts=[("host2", 1)]))
    simulator.set_fault(rig.simulator, "host2.sim.local")


def test_adopted_vm_is_never_deleted(rig: Rig) -> None:
    desktop = rig.store.list_desktops(POOL)[0]
    rig.store.put_desktops([replace(desktop, home="")])
    try:
        with pytest.raises(errors.NotFound, match=desktop.name):
            rig.execute(later(JobAction.DELETE, desktop.name))
    finally:
        rig.store.put_desktops([desktop])


@pytest.mark.parametrize(
    "state", [s for s in CollectionState if s.name not in
              ("UNKNOWN", "UPDATE_FAILED", "UPDATE_CANCELLED", "JOB_COMPLETED", "JOB_ABORTED")]
)  # fmt: skip
def test_busy_collection_takes_no_job(tmp_path: Path, state: CollectionState) -> None:
    rig = Rig(tmp_path)
    from openrdms.model.collection import Collection

    rig.store.create_collection(
        Collection(POOL, POOL, CollectionType.POOLED, is_managed=True, state=state)
    )
    with pytest.raises(OPERATION, match=state.name):
        rig.execute(create())
    rig.close()


PREP = {"collection": "", "host": "host1", "vm": "pool-1", "export_to": "X", "sysprep": True}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"host": "host9"}, errors.NotFound, "host9"),
        ({"vm": "nobody"}, errors.NotFound, "nobody"),
        ({"export_to": " "}, PARAMETER, "ExportToLocation"),
        ({"export_to": "x" * 5000}, PARAMETER, "ExportToLocation"),
    ],
)
def test_prep_is_refused(rig: Rig, change: dict[str, Any], error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        rig.provisioning.prepare(**(PREP | change))
    assert rig.store.list_jobs(running=True) == []


@pytest.mark.parametrize("call", ["cancel", "report"])
def test_guids_that_mean_nothing(rig: Rig, call: str) -> None:
    method = getattr(rig.provisioning, call)
    with pytest.raises(errors.NotFound):
        method("{12345678-1234-1234-1234-123456789abc}")
    for text in ("", "x", "{12345678-1234-1234-1234-123456789abc"):
        with pytest.raises(PARAMETER, match="JobGuid"):
            method(text)
