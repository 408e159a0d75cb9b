"""The policy, written out for every class and operation that there is.

Letters are roles: a administrator, o operator, h helpdesk, u auditor. The role "user" and roles
that nobody knows may do nothing, so they have no letter.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from openrdms.cim import guard
from openrdms.providers.schema import load_openrdms
from openrdms.security.policy import READING, Right, decide

TABLE = json.loads((Path(__file__).parents[2] / "data" / "rdms-interface.json").read_text())
OURS = {item.name: [method.name for method in item.methods] for item in load_openrdms().classes}
"""Classes of root/openrdms, and their methods."""

LETTERS = {"a": "administrator", "o": "operator", "h": "helpdesk", "u": "auditor"}

# fmt: off
CHANGES = frozenset({
    "AddDesktopAssignment", "AddVirtualDesktop", "CancelPatch", "Connect", "Create", "Delete",
    "Disconnect",
    "GetPendingStartServerList", "Join", "KeyValueCompareAndSet", "KeyValueDelete", "Logoff",
    "ProvisioningJobCancel", "ProvisioningJobExecute", "ProvisioningPrepJob", "Put",
    "Release", "ReleaseDesktop", "RemoveDeploymentSetting", "RemoveDesktopAssignment",
    "RemoveUserAssignment",
    "RemoveVirtualDesktop", "ResetBreaker", "SchedulePatch", "SendMessage", "SetActiveServer",
    "SetBaseVHDPath",
    "SetClientAccessName", "SetConcurrencyFactor", "SetConnectionString", "SetIdleVmCount",
    "SetDrain", "SetDiffVHDPath", "SetExportPath",
    "SetInt32Property", "SetSMBPath", "SetSecondaryConnectionString",
    "SetStringArrayDeploymentSetting", "SetStringProperty", "SetUserAssignment",
    "SetVirtualDesktopState", "SynchronizeAllPublishingData", "SynchronizePublishingData",
    "TestAndSetState", "Unjoin",
})
# fmt: on

USUAL = {"reads": "aou", "changes": "ao"}
OF_THE_DEPLOYMENT = {"reads": "aou", "changes": "a"}
EXPECTED: dict[str, dict[str, str]] = {
    "Win32_RDMSCollectionProperties": USUAL,
    "Win32_RDMSDeploymentSettings": {
        **OF_THE_DEPLOYMENT,
        "GetStringProperty": "a",
        "GetConnectionString": "a",
        "GetSecondaryConnectionString": "a",
    },
    "Win32_RDMSDesktopAssignment": USUAL,
    "Win32_RDMSEnvironment": {**OF_THE_DEPLOYMENT, "GetActiveServer": "aohu"},
    "Win32_RDMSFileTypeAssociation": USUAL,
    "Win32_RDMSJoinedNode": {**OF_THE_DEPLOYMENT, "GetJoinedNodeCount": "aohu"},
    "Win32_RDMSManagementData": USUAL,
    "Win32_RDMSPublishedApplication": USUAL,
    "Win32_RDMSVirtualDesktop": USUAL,
    "Win32_RDMSVirtualDesktopCollection": USUAL,
    "Win32_RDSHCollection": USUAL,
    "Win32_RDSHServer": USUAL,
    "Win32_VirtualDesktopSession": {"reads": "aohu", "changes": "aoh"},
    "Win32_SessionDirectorySessionEx": {"reads": "aohu", "changes": "aoh"},
    "OpenRDMS_Host": OF_THE_DEPLOYMENT,
    "OpenRDMS_Planner": {**USUAL, **dict.fromkeys(OURS["OpenRDMS_Planner"], "ao")},
    "OpenRDMS_Pool": {**USUAL, "SendMessage": "aoh"},
    "Win32_OperatingSystem": {"reads": "aohu", "changes": "ao"},
    "CIM_Namespace": {"reads": "aohu", "changes": "ao"},
    "CIM_ObjectManager": {"reads": "aohu", "changes": "ao"},
    "CIM_RegisteredProfile": {"reads": "aohu", "changes": "ao"},
    "__Namespace": {"reads": "aohu", "changes": "ao"},
}
ON_INSTANCES = (guard.ENUMERATE, guard.GET, guard.CREATE, guard.MODIFY, guard.DELETE)
CASES = [
    (class_name, operation)
    for class_name in EXPECTED
    for operation in (
        *ON_INSTANCES,
        *TABLE["classes"].get(class_name, {}).get("methods", ()),
        *OURS.get(class_name, ()),
    )
]


def test_nothing_of_the_interface_is_left_out() -> None:
    assert set(TABLE["classes"]) < set(EXPECTED)
    assert set(OURS) < set(EXPECTED)
    ours = sum(map(len, OURS.values()))
    assert sum(operation not in ON_INSTANCES for _, operation in CASES) == 68 + ours


@pytest.mark.parametrize(("class_name", "operation"), CASES)
def test_who_may(class_name: str, operation: str) -> None:
    expected = EXPECTED[class_name]
    kind = "changes" if operation in CHANGES else "reads"
    right = Right.CHANGE if operation in CHANGES else Right.READ
    letters = expected.get(operation, expected[kind])
    rights = {role: decide(role, class_name, operation) for role in LETTERS.values()}
    assert rights == {
        role: right if letter in letters else Right.DENIED for letter, role in LETTERS.items()
    }
    for role in ("user", "", "Administrator", "root"):
        assert decide(role, class_name, operation) is Right.DENIED


def test_every_operation_is_named_as_one_that_changes_or_one_that_reads() -> None:
    methods = {method for item in TABLE["classes"].values() for method in item["methods"]}
    methods |= {method for names in OURS.values() for method in names}
    assert set(READING) | CHANGES == methods | set(ON_INSTANCES)
    assert not READING & CHANGES


def test_a_class_that_the_table_does_not_name_is_no_way_around_it() -> None:
    assert decide("helpdesk", "Win32_Process", "Create") is Right.DENIED
    assert decide("auditor", "Win32_Process", "Create") is Right.DENIED


def test_a_decision_costs_microseconds() -> None:
    used = time.thread_time()
    for _ in range(10_000):
        decide("operator", "Win32_RDSHCollection", "GetStringProperty")
    assert time.thread_time() - used < 0.15
