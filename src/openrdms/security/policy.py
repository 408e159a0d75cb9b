"""The one table of who may do what.

A role is matched with a class and an operation: Enumerate, Get, Create, Put, Delete or the name
of a method. Roles are ``model.account.Role``; ``user`` may do nothing but to what is his own, any
other role nothing at all.
"""

from __future__ import annotations

from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

from openrdms.cim import guard
from openrdms.model.account import Role

_NOBODY: frozenset[Role] = frozenset()
_EVERYBODY = frozenset(Role)
_ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})
_OPERATORS = _ADMINISTRATOR | {Role.OPERATOR}
_SESSION_KEEPERS = _OPERATORS | {Role.HELPDESK}
_READERS = _OPERATORS | {Role.AUDITOR}
_JUDGES = _ADMINISTRATOR | {Role.AUDITOR}
_STAFF = _READERS | {Role.HELPDESK}


class Rule(NamedTuple):
    """Who may use operations that only read, and those that change something."""

    class_name: str
    operation: str
    reads: frozenset[Role]
    changes: frozenset[Role]


RULES = (
    # What makes up the deployment is the administrator's. Connection strings, which are among
    # the string properties too, hold passwords.
    Rule("Win32_RDMSDeploymentSettings", "Get*ConnectionString", _ADMINISTRATOR, _NOBODY),
    Rule("Win32_RDMSDeploymentSettings", "GetStringProperty", _ADMINISTRATOR, _NOBODY),
    Rule("Win32_RDMSDeploymentSettings", "*", _READERS, _ADMINISTRATOR),
    Rule("Win32_RDMSEnvironment", "GetActiveServer", _STAFF, _NOBODY),
    Rule("Win32_RDMSEnvironment", "*", _READERS, _ADMINISTRATOR),
    Rule("Win32_RDMSJoinedNode", "GetJoinedNodeCount", _STAFF, _NOBODY),
    Rule("Win32_RDMSJoinedNode", "*", _READERS, _ADMINISTRATOR),
    # The help desk has sessions, and what every client asks before anything else.
    Rule("Win32_VirtualDesktopSession", "*", _STAFF, _SESSION_KEEPERS),
    Rule("Win32_SessionDirectorySessionEx", "*", _STAFF, _SESSION_KEEPERS),
    Rule("OpenRDMS_Pool", "SendMessage", _NOBODY, _SESSION_KEEPERS),
    # Over a user's shoulder; who is logged on is told of it before.
    Rule("OpenRDMS_Display", "View", _NOBODY, _SESSION_KEEPERS),
    Rule("OpenRDMS_Display", "Control", _NOBODY, _OPERATORS),
    Rule("OpenRDMS_Display", "Screenshot", _NOBODY, _SESSION_KEEPERS),
    # Who could make accounts could make himself administrator; what all did is for those who judge.
    Rule("OpenRDMS_Account", "*", _JUDGES, _ADMINISTRATOR),
    Rule("OpenRDMS_AuditLog", "*", _JUDGES, _ADMINISTRATOR),
    # His own, for everybody: what it is, services/brokering and services/own_desktops decide.
    Rule("OpenRDMS_OwnDesktop", "*", _EVERYBODY, _EVERYBODY),
    Rule("OpenRDMS_OwnAccount", "*", _EVERYBODY, _EVERYBODY),
    Rule("Win32_OperatingSystem", "*", _STAFF, _OPERATORS),
    Rule("CIM_*", "*", _STAFF, _OPERATORS),
    Rule("__Namespace", "*", _STAFF, _OPERATORS),
    Rule("OpenRDMS_Host", "*", _READERS, _ADMINISTRATOR),
    # A plan tells of files on the service's machine: for those whose jobs may import them.
    Rule("OpenRDMS_Planner", "Plan*", _OPERATORS, _NOBODY),
    Rule("*", "*", _READERS, _OPERATORS),
)
"""The first one that matches decides."""

READING = frozenset(
    {
        *(guard.ENUMERATE, guard.GET),
        *("GetActiveServer", "GetBaseVHDPath", "GetClientAccessName", "GetConnectionString"),
        *("GetDiffVHDPath", "GetExportPath", "GetInt32Property", "GetJoinedNodeCount"),
        *("GetPatchProperties", "GetProvisioningProperties", "GetSMBPath"),
        *("GetSecondaryConnectionString", "GetStringArrayDeploymentSetting"),
        *("GetStringProperty", "GetUserAssignment", "GetVirtualDesktopAssignedToUser"),
        *("GetVirtualDesktopDetails", "GetVirtualDesktopState", "KeyValueGet"),
        *("Plan", "PlanDeletion", "PlanDrain", "PlanMove", "PlanPatch", "PlanPrep", "PlanRelease"),
        *("ProvisioningEnumerateJobs", "ProvisioningJobGetReport"),
    }
)
"""Operations that change nothing. All others do, GetPendingStartServerList too: it drains."""


class Right(Enum):
    """What the table says of one operation."""

    DENIED = "denied"
    READ = "read"
    CHANGE = "change"


@cache  # classes and operations come from the schema, so there are a few hundred answers
def decide(role: str, class_name: str, operation: str) -> Right:
    """What ``role`` may do, given names in the schema's spelling."""
    rule = next(
        rule
        for rule in RULES
        if fnmatchcase(class_name, rule.class_name) and fnmatchcase(operation, rule.operation)
    )
    reads = operation in READING
    if role not in (rule.reads if reads else rule.changes):
        return Right.DENIED
    return Right.READ if reads else Right.CHANGE
