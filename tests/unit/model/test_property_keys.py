"""Property keys: types and ranges of what is known, everything else as it comes."""

from __future__ import annotations

import pytest

from openrdms.model import errors
from openrdms.model.property_keys import (
    DEPLOYMENT,
    SESSION_COLLECTION,
    SESSION_HOST,
    VIRTUAL_DESKTOP_COLLECTION,
    PropertyKeys,
)

POLICY = "<UvhdRoamingPolicy><Include><Folder>a</Folder></Include><Exclude /></UvhdRoamingPolicy>"


@pytest.mark.parametrize(
    ("keys", "key", "values"),
    [
        (VIRTUAL_DESKTOP_COLLECTION, "DeviceRedirectionOptions", [0, 187, 511]),
        (VIRTUAL_DESKTOP_COLLECTION, "EXPORTINPROGRESS", ["", "gold"]),
        (DEPLOYMENT, "DeploymentGatewayUsage", [0, 3]),
        (DEPLOYMENT, "DeploymentGatewayAuthMode", [0, 1, 4]),
        (DEPLOYMENT, "deploymentredirectorserver", ["", "rds.corp.example"]),
        (SESSION_COLLECTION, "DiskSizeInMB", [1024, 9999 * 1024]),
        (SESSION_COLLECTION, "UserVHDShare", ["", r"\\files\profiles", "/srv/profiles"]),
        (SESSION_COLLECTION, "UserPolicyXML", ["", POLICY]),
        (SESSION_COLLECTION, "EncryptionLevel", [0, 4]),
        (SESSION_HOST, "DrainMode", [0, 2]),
        (SESSION_HOST, "Rack", [7, "seven"]),
    ],
)
def test_what_is_kept_as_it_is(keys: PropertyKeys, key: str, values: list[int | str]) -> None:
    assert [keys.accept_change(key, value) for value in values] == values


@pytest.mark.parametrize(
    ("keys", "key", "value", "field"),
    [
        (VIRTUAL_DESKTOP_COLLECTION, "", 1, "Key"),
        (VIRTUAL_DESKTOP_COLLECTION, "k" * 257, 1, "Key"),
        (VIRTUAL_DESKTOP_COLLECTION, "MaxMonitors", "2", "Key"),
        (DEPLOYMENT, "DeploymentGatewayName", 1, "Key"),
        (DEPLOYMENT, "DeploymentGatewayName", "gate", "Value"),
        (DEPLOYMENT, "DeploymentGatewayAuthMode", 2, "Value"),
        (SESSION_COLLECTION, "ActiveSessionLimit", -1, "Value"),
        (SESSION_COLLECTION, "DiskSizeInMB", 1023, "Value"),
        (SESSION_COLLECTION, "UserVHDShare", "profiles", "Value"),
        (SESSION_COLLECTION, "UserPolicyXML", "<Other />", "Value"),
        (SESSION_COLLECTION, "SecurityDescriptor", "D:", "Value"),
        (SESSION_HOST, "DrainMode", 3, "Value"),
    ],
)
def test_what_is_refused(keys: PropertyKeys, key: str, value: int | str, field: str) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        keys.accept_change(key, value)
    assert caught.value.field == field


@pytest.mark.parametrize("key", ["CollectionState", "provisioningjobid"])
def test_some_keys_are_for_reading(key: str) -> None:
    with pytest.raises(errors.InvalidOperation, match="read-only"):
        VIRTUAL_DESKTOP_COLLECTION.accept_change(key, 0)


def test_descriptors_are_kept_with_full_sids() -> None:
    kept = SESSION_COLLECTION.accept_change("securitydescriptor", "D:(A;;GR;;;BU)")
    assert kept == "D:(A;;GR;;;S-1-5-32-545)"
